"""Settings of Pythia for QCD dijets, two alternative simulations, and resonances W' → XY with two or three prongs.

Pythia 8.3 (arXiv:2203.11601) at 13 TeV without multiparton interactions, as in the LHC Olympics (arXiv:2101.08320).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sideband.infer.errors import BadInput

BEAMS = 13.0  # TeV
# Pythia's own check of each event takes a tenth of the time; `source` makes the main part of it on whole batches.
COMMON = (
    "Print:quiet = on",
    "Check:event = off",
    "Random:setSeed = on",
    f"Beams:eCM = {1000 * BEAMS:g}",
    "PartonLevel:MPI = off",
)

# For a leading jet above 1.2 TeV, and scaled for other cuts: hard partons from 950 GeV on; once the shower has come
# down to 100 GeV, the event is dropped if no R = 1 cone of partons has 1080 GeV. This loses 12 of 1,012 events that
# would pass the cut (measured), those with the widest jets; without it half of all events would be made in vain.
PT_MIN = 1.2  # TeV
HARDEST, LOOK, CONE = 950 / 1200, 100 / 1200, 1080 / 1200

SIMULATIONS = {
    "alphas": ("softer final-state showers (alphaS 0.118 for 0.1365)", "TimeShower:alphaSvalue = 0.118", 6e-3),
    "vincia": ("Vincia's antenna showers", "PartonShowers:model = 2", 60e-3),
}
LEAST_DAUGHTER = 0.02  # TeV: below, decays to some of the quarks lighter than the top are closed


@dataclass(frozen=True)
class Process:
    """A kind of event.

    Args:
        what: in words, for the file's attributes.
        settings: lines for Pythia, without seed and beams.
        pt_min: the smallest transverse momentum of the leading jet [TeV].
        label: 1 for signal, 0 for background.
        vetoed: whether events that cannot pass the cut are dropped before their shower is complete.
        cost: rough CPU seconds per event, for the first estimate of the time left.
    """

    what: str
    settings: tuple[str, ...]
    pt_min: float
    label: int
    vetoed: bool
    cost: float


def qcd(pt_min: float = PT_MIN) -> Process:
    """QCD dijets, nominal."""
    return _background("QCD dijets, nominal", pt_min, cost=6.5e-3)


def simulation(shower: str = "alphas", pt_min: float = PT_MIN) -> Process:
    """QCD dijets from another simulation, one of `SIMULATIONS`."""
    what, line, cost = SIMULATIONS[shower]
    return _background(f"QCD dijets, alternative simulation: {what}", pt_min, line, cost=cost)


def _background(what: str, pt_min: float, *further: str, cost: float) -> Process:
    if not 0 < pt_min < BEAMS / 2:
        raise BadInput(
            f"--pt-min {pt_min:g}: leaves nothing of {BEAMS:g} TeV collisions; choose less than {BEAMS / 2:g}"
        )
    hardest = f"PhaseSpace:pTHatMin = {1000 * HARDEST * pt_min:g}"
    return Process(what, ("HardQCD:all = on", hardest, *further), pt_min, 0, True, cost)


def signal(
    mass: float = 3.5,
    daughters: Sequence[float] = (0.5, 0.1),
    width: float | None = None,
    prongs: int = 2,
    pt_min: float = PT_MIN,
) -> Process:
    """A resonance W' → XY whose daughters decay to quarks (and, with three prongs, a gluon).

    With two prongs it is Pythia's own W' → WZ with the masses of W and Z moved, so that decay angles follow its matrix
    elements, as in the LHC Olympics; with three, X and Y are new scalars that decay to q q̄ g, flat in phase space.

    Args:
        mass: of the resonance [TeV].
        daughters: masses of X and Y [TeV].
        width: of the resonance [TeV]; None for a hundredth of its mass.
        prongs: 2 or 3.
        pt_min: smallest transverse momentum of the leading jet [TeV].

    Raises:
        BadInput: the decay is impossible, the width is out of range, or the cut leaves no events.
    """
    width = mass / 100 if width is None else width
    x, y = daughters
    name = f"W'({mass:g} TeV) -> X({1000 * x:g} GeV) Y({1000 * y:g} GeV)"
    if not all(each >= LEAST_DAUGHTER for each in daughters):
        raise BadInput(
            f"--daughters {x:g} {y:g}: must be {LEAST_DAUGHTER:g} TeV or more, to decay to every light quark"
        )
    if not 1.05 * (x + y) < mass:
        raise BadInput(f"{name}: cannot decay; --mass must be more than 1.05 times the sum of --daughters")
    if not mass < BEAMS:
        raise BadInput(f"{name}: {BEAMS:g} TeV collisions do not make it; choose a --mass in TeV below {BEAMS:g}")
    if not 0 < width <= mass / 2:
        raise BadInput(f"--width {width:g} TeV: must lie above 0 and at or below half the --mass")
    hardest = math.sqrt((mass**2 - (x + y) ** 2) * (mass**2 - (x - y) ** 2)) / (2 * mass)
    if not 0 < pt_min <= 1.3 * hardest:
        raise BadInput(
            f"{name}: its jets have at most about {hardest:.2g} TeV of transverse momentum, --pt-min {pt_min:g} leaves "
            "nothing; choose less"
        )
    resonance = (f"34:m0 = {1000 * mass:g}", f"34:mWidth = {1000 * width:g}", "34:doForceWidth = on")
    kind = {2: _two_prong, 3: _three_prong}[prongs]
    settings = ("NewGaugeBoson:ffbar2Wprime = on", *resonance, *kind(1000 * x, 1000 * y))
    what = f"{name}, {prongs} prongs a jet, width {1000 * width:g} GeV"
    return Process(what, settings, pt_min, 1, False, 2.5e-3)


def _two_prong(x: float, y: float) -> tuple[str, ...]:
    """W' → WZ with other masses [GeV], which decay to light quarks and b."""
    moved = [
        (f"{pid}:m0 = {m:g}", f"{pid}:mMin = {0.2 * m:g}", f"{pid}:mMax = {2 * m:g}") for pid, m in ((24, x), (23, y))
    ]
    quarks = [(f"{pid}:onMode = off", f"{pid}:onIfAny = 1 2 3 4 5") for pid in (24, 23)]
    lines = [line for group in (*moved, *quarks) for line in group]
    return ("Wprime:coup2WZ = 1", "34:onMode = off", "34:onIfMatch = 24 23", *lines)


def _three_prong(x: float, y: float) -> tuple[str, ...]:
    """W' → two new scalars [GeV], which decay to a quark pair and a gluon."""
    new = "9000001:new = X0 void 1 0 0", "9000002:new = Y+ Y- 1 3 0"
    lines = [f"{head} {m:g} {0.002 * m:g} {0.96 * m:g} {1.04 * m:g} 0." for head, m in zip(new, (x, y), strict=True)]
    for pid in (9000001, 9000002):
        lines += [f"{pid}:isResonance = on", f"{pid}:doForceWidth = on"]
    return (
        *lines,
        f"34:mMin = {1.05 * (x + y):g}",
        "34:oneChannel = 1 1.0 101 9000001 9000002",
        "9000001:oneChannel = 1 0.5 101 1 -1 21",
        "9000001:addChannel = 1 0.5 101 2 -2 21",
        "9000002:oneChannel = 1 1.0 101 2 -1 21",
    )

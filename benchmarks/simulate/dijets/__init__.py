"""Dijets like those of the LHC Olympics: QCD, resonances, alternative simulations (`pip install '.[generate]'`).

Pythia 8 → a fast detector → anti-kt jets and N-subjettiness → our events layout. No other part of Sideband needs this.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sideband.benchmarks.simulate.dijets import processes
from sideband.infer.arguments import LARGEST_SEED
from sideband.infer.errors import BadInput

KINDS = ("sample", "qcd", "signal", "simulation", "embedded")
NEEDED = ("pythia8mc", "fastjet", "awkward", "numba")
MOST_CONSTITUENTS = 128
MOST_EVENTS = 100_000_000  # in one file, which is joined in memory

# Sizes of a sample relative to its QCD; the signal suffices to inject, to test on and for the supervised reference.
SIGNAL, LEAST_SIGNAL, SIMULATION = 0.2, 2000, 0.25


@dataclass(frozen=True)
class Wanted:
    """A request to `python -m benchmarks generate`.

    Args:
        kind: one of `KINDS`: a whole sample, one file of events, or the four files of the embedded set.
        out: a folder for a sample or the embedded set, else a file.
        events: how many; for a sample and the embedded set, QCD events in all, and the rest in proportion.
        seed: equal seeds give equal events.
        constituents: how many leading constituents of each jet to keep, from 0 to 128.
        pt_min: smallest transverse momentum of the leading jet [TeV].
        mass, daughters, width: of the resonance [TeV]; prongs: of each of its jets.
        shower: the alternative simulation, one of `SIMULATIONS`.
    """

    kind: str
    out: Path
    events: int
    seed: int = 1
    constituents: int = 0
    pt_min: float = processes.PT_MIN
    mass: float = 3.5
    daughters: Sequence[float] = (0.5, 0.1)
    width: float | None = None
    prongs: int = 2
    shower: str = "alphas"


def generate(wanted: Wanted, cores: int | None = None) -> list[Path]:
    """Make events; an interrupted call is resumed.

    Args:
        wanted: the request.
        cores: number of worker processes; None for one per core.

    Returns:
        The files.

    Raises:
        BadInput: a number is out of range, a package is missing, or `run.produce` raises it.
    """
    _check(wanted, cores)
    from sideband.benchmarks.events import embed
    from sideband.benchmarks.simulate.dijets.run import Order, produce

    cut = wanted.pt_min
    kinds: dict[str, Callable[[], processes.Process]] = {
        "qcd": lambda: processes.qcd(cut),
        "signal": lambda: processes.signal(wanted.mass, wanted.daughters, wanted.width, wanted.prongs, cut),
        "simulation": lambda: processes.simulation(wanted.shower, cut),
    }
    if wanted.kind in kinds:
        numbers = {wanted.kind: (wanted.out, wanted.events)}
    elif wanted.kind == "sample":
        signal = max(int(SIGNAL * wanted.events), LEAST_SIGNAL)
        numbers = {
            "qcd": (wanted.out / "data.h5", wanted.events),
            "signal": (wanted.out / "signal.h5", signal),
            "simulation": (wanted.out / "simulation.h5", max(int(SIMULATION * wanted.events), 1)),
        }
    else:
        raw = wanted.out / "generated"
        numbers = {name: (raw / f"{name}.h5", number) for name, number in embed.needed(wanted.events).items()}
    orders = [
        Order(kinds[name](), number, path, wanted.seed, wanted.constituents) for name, (path, number) in numbers.items()
    ]
    produce(orders, cores)
    return embed.cut(raw, wanted.out) if wanted.kind == "embedded" else [o.out for o in orders]


def _check(wanted: Wanted, cores: int | None) -> None:
    if not 1 <= wanted.events <= MOST_EVENTS:
        raise BadInput(f"--events {wanted.events}: must be from 1 to {MOST_EVENTS:,}")
    if not 0 <= wanted.constituents <= MOST_CONSTITUENTS:
        raise BadInput(f"--constituents {wanted.constituents}: must be from 0 to {MOST_CONSTITUENTS}")
    if not 0 <= wanted.seed <= LARGEST_SEED:
        raise BadInput(f"--seed {wanted.seed}: must be from 0 to {LARGEST_SEED}")
    if cores is not None and cores < 1:
        raise BadInput(f"--cores {cores}: must be 1 or more")
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise BadInput(
                f"{name}: not installed, and generating events needs it: pip install -c constraints.txt '.[generate]'"
            ) from error

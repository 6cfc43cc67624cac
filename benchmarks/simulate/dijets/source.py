"""Pythia as a source of stable particles; no other file uses it."""

import functools
from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np
import pythia8mc
from numpy.typing import NDArray

from sideband.benchmarks.simulate.dijets.processes import BEAMS, COMMON, CONE, LOOK, Process
from sideband.infer.errors import BadInput

COLLISION = {"px": 0.0, "py": 0.0, "pz": 0.0, "e": 1000 * BEAMS}
LOST = 1.0  # GeV of momentum that an event may lack, of 13,000

Particles = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


class Veto(pythia8mc.UserHooks):  # type: ignore[misc]
    """Drops events that cannot pass the cut half-way through their shower; see `processes`."""

    def __init__(self, pt_min: float) -> None:
        super().__init__()
        self.look, self.least = 1000 * LOOK * pt_min, 1000 * CONE * pt_min

    def canVetoPT(self) -> bool:  # noqa: D102, N802 (the names are Pythia's)
        return True

    def scaleVetoPT(self) -> float:  # noqa: D102, N802
        return self.look

    def doVetoPT(self, position: int, event: Any) -> bool:  # noqa: D102, N802
        if position > 4:  # after the showers, too late to save time
            return False
        partons = (event[index] for index in range(3, event.size()))
        return hardest_cone([(one.px(), one.py(), one.pz()) for one in partons if one.isFinal()]) < self.least


def hardest_cone(momenta: Sequence[tuple[float, float, float]]) -> float:
    """The largest transverse momentum in R = 1 cones around the two hardest of the momenta (px, py, pz)."""
    p = np.array(momenta)
    pt = np.hypot(p[:, 0], p[:, 1])
    eta = np.arcsinh(p[:, 2] / np.maximum(pt, 1e-6))
    phi = np.arctan2(p[:, 1], p[:, 0])
    best = 0.0
    for axis in np.argsort(-pt)[:2]:
        turn = np.abs((phi - phi[axis] + np.pi) % (2 * np.pi) - np.pi)
        near = (eta - eta[axis]) ** 2 + turn**2 < 1.0
        best = max(best, float(np.hypot(p[near, 0].sum(), p[near, 1].sum())))
    return best


@functools.cache
def _defaults() -> pythia8mc.Pythia:
    """Pythia's default settings and particles, read once: that takes a quarter of the start-up time."""
    return pythia8mc.Pythia("", False)


class Source:
    """A freshly seeded Pythia for one process.

    Args:
        process: what to make.
        seed: from 1 to 900,000,000.

    Raises:
        BadInput: Pythia finds no phase space for the process.
    """

    def __init__(self, process: Process, seed: int) -> None:
        self.process, self.made = process, 0
        defaults = _defaults()
        self.pythia = pythia8mc.Pythia(defaults.settings, defaults.particleData, False)
        for line in (*COMMON, f"Random:seed = {seed}", *process.settings):
            if not self.pythia.readString(line):
                raise RuntimeError(f"Pythia does not know '{line}'")
        if process.vetoed:
            self.veto = Veto(process.pt_min)  # Pythia does not keep a reference
            self.pythia.setUserHooksPtr(self.veto)
        if not self.pythia.init():
            raise BadInput(f"{process.what}: Pythia finds no phase space for it; lower --pt-min or the masses")

    def particles(self, events: int) -> Particles:
        """Stable particles of the next events: the first one of each event, PDG codes, and (px, py, pz, E) [GeV]."""
        particles = self.pythia.nextBatch(events).prt
        momentum = particles.p[particles.status > 0]
        lost = np.sqrt(sum((ak.sum(momentum[name], axis=1) - sought) ** 2 for name, sought in COLLISION.items()))
        whole = ak.to_numpy(lost < LOST)  # also false for NaN
        final = (particles.status > 0)[whole]
        number = ak.to_numpy(ak.sum(final, axis=1))
        self.made += len(number)
        ids = ak.to_numpy(ak.flatten(particles.id[whole][final])).astype(np.int64)
        p = np.stack([ak.to_numpy(ak.flatten(momentum[name][whole])) for name in COLLISION])
        return np.concatenate([[0], np.cumsum(number)]), ids, p

    def cross_section(self) -> tuple[float, float]:
        """The cross section of the events, without vetoed ones, and its error [pb]."""
        info = self.pythia.infoPython()
        return 1e9 * info.sigmaGen(), 1e9 * info.sigmaErr()

"""Decays of a long-lived particle χ, which flies along z, to two photons before or inside the calorimeter.

The signal of arXiv:2312.11618: χ of 50 GeV, made at z = 0, with the front face of the calorimeter at 1.00 m.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.simulate.showers.geometry import END, FACE
from sideband.benchmarks.simulate.showers.simulation import Showers, in_blocks, shower
from sideband.infer.draws import BLOCK
from sideband.infer.errors import BadInput

Array = NDArray[np.float64]

LIGHT = 0.299792458  # speed, m/ns

# The samples of arXiv:2312.11618: masses [GeV], depths [m], lifetimes [ns].
MASSES = (5, 0.5, 0.05, 0.005)
DEPTHS = (0.33, 0.66, 1.00, 1.04, 1.08, 1.16, 1.24, 1.32, 1.40, 1.44)
LIFETIMES = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Decay:
    """χ → γγ at a fixed depth, or after a decay length of its lifetime that ends before the back of the calorimeter.

    Args:
        mass: of χ, GeV.
        depth: distance from its origin to its decay, m; or
        lifetime: its proper lifetime, ns.
        energy: of χ, GeV.

    Raises:
        BadInput: a mass, depth or lifetime is impossible, or not exactly one of depth and lifetime is given.
    """

    mass: float
    depth: float | None = None
    lifetime: float | None = None
    energy: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.mass < self.energy < math.inf:
            raise BadInput(f"decay: mass {self.mass:g} GeV; must be above 0 and below χ's energy, {self.energy:g} GeV")
        if (self.depth is None) == (self.lifetime is None):
            raise BadInput(f"decay of {self.mass:g} GeV: give either a depth [m] or a lifetime [ns]")
        if self.depth is not None and not 0 <= self.depth < END:
            raise BadInput(
                f"decay of {self.mass:g} GeV: depth {self.depth:g} m; must be from 0 to below {END:g} m, "
                "where the calorimeter ends"
            )
        if self.lifetime is not None and not 0 < self.lifetime < math.inf:
            raise BadInput(f"decay of {self.mass:g} GeV: lifetime {self.lifetime:g} ns; must be above 0")

    @property
    def name(self) -> str:
        """For example "5 GeV, 1.04 m" or "5 GeV, 0.1 ns"."""
        return f"{self.mass:g} GeV, " + (f"{self.lifetime:g} ns" if self.depth is None else f"{self.depth:.2f} m")

    @property
    def momentum(self) -> float:
        """Momentum of χ, GeV."""
        return math.sqrt((self.energy - self.mass) * (self.energy + self.mass))

    def depths(self, count: int, random: np.random.Generator) -> Array:
        """Distances from origin to decay `[N]`, m."""
        if self.lifetime is None:
            return np.full(count, self.depth)
        length = self.momentum / self.mass * LIGHT * self.lifetime
        return -length * np.log1p(random.random(count) * math.expm1(-END / length))


def daughters(decay: Decay, count: int, random: np.random.Generator) -> Array:
    """Momenta of the photons `[N, 2, 3]`, GeV: isotropic in the frame of χ, boosted along z."""
    cosine = random.uniform(-1, 1, count)
    azimuth = random.uniform(0, 2 * math.pi, count)
    across = decay.mass / 2 * np.sqrt((1 - cosine) * (1 + cosine))
    px, py = across * np.cos(azimuth), across * np.sin(azimuth)
    along, boost = decay.energy / 2 * cosine, decay.momentum / 2
    return np.stack([np.stack([px, py, boost + along], 1), np.stack([-px, -py, boost - along], 1)], 1)


def decays(decay: Decay, count: int, seed: int) -> Showers:
    """Simulate both photons of each decay as one shower; the incident energy is that of χ.

    Args:
        decay: mass of χ, and where it decays.
        count: number of decays.
        seed: equal seeds give equal showers, and a larger sample begins with the same ones.

    Raises:
        BadInput: numba is not installed.
    """

    def block(random: np.random.Generator) -> tuple[Array, Array, Array]:
        momenta = daughters(decay, BLOCK, random).reshape(-1, 3)
        start = np.zeros_like(momenta)
        start[:, 2] = 1000 * np.repeat(decay.depths(BLOCK, random) - FACE, 2)
        energy = np.linalg.norm(momenta, axis=1)
        event = np.repeat(np.arange(BLOCK), 2)
        voxels, lost = shower(random, event, start, momenta / energy[:, None], energy, BLOCK)
        return np.full(BLOCK, decay.energy), voxels, lost

    return in_blocks(block, count, seed, f"decays {decay.name}")

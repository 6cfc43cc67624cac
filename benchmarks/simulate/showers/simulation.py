"""Electromagnetic showers by the parametrisation of Grindhammer and Peters (hep-ex/0001020), in CaloGAN's calorimeter.

The calorimeter, 80 times 2 mm of lead and 4 mm of liquid argon, is treated as one medium. A shower has a Gamma profile
along its axis with correlated fluctuations, a core and a tail across it, sampling fluctuations, and spots that carry
the energy. No particles turn back, and only the spots make the lateral profile fluctuate.
Lengths along a shower are in radiation lengths X0, and across it in Molière radii.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from sideband.benchmarks.simulate.showers.calorimeter import CALORIMETER
from sideband.benchmarks.simulate.showers.geometry import BOUNDARIES, THRESHOLD, VOXELS
from sideband.infer import events
from sideband.infer.draws import BLOCK, generator
from sideband.infer.errors import BadInput

Array = NDArray[np.float64]

SAMPLING_TERM = 0.11  # c of σ(E)/E = c/√E [GeV], of sampling and spots: the default of Geant4's GFlash

# In the paper the N spots of a step have equal energies, so a voxel with few of them would have a multiple of 2 MeV.
# Twice as many spots of exponential energies give the same fluctuations, and any energy.
SPLIT = 2

# Spots are uniform within a step. With steps of X0/2 the mean shares of the layers are right to 4e-4 (with 1 X0:
# 1.6e-3). Energy beyond 40 X0, 4e-5 of that of a 100 GeV photon, counts for the last step.
STEP, STEPS = 0.5, 80


@dataclass(frozen=True)
class Showers:
    """Showers of N events.

    Args:
        energy: incident energy `[N]`, GeV.
        voxels: visible energy, which is that in liquid argon, `[N, 504]`, MeV.
        lost: visible energy outside of the cube `[N]`, MeV.
    """

    energy: NDArray[np.float32]
    voxels: NDArray[np.float32]
    lost: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.energy)

    def __getitem__(self, rows: Any) -> "Showers":
        return Showers(self.energy[rows], self.voxels[rows], self.lost[rows])


def mean_logs(energy: Array) -> tuple[Array, Array]:
    """Mean ln T and ln a of showers of `energy [P]` GeV: depth of the maximum [X0] and shape of the Gamma profile."""
    medium, log_y = CALORIMETER, _log_y(energy)
    top = log_y - 0.812 - 0.55 / medium.sampling_frequency - 0.69 * (1 - medium.electron_response)
    shape = 0.81 + (0.458 + 2.26 / medium.z) * log_y - 0.476 / medium.sampling_frequency
    return np.log(np.maximum(top, np.exp(0.1))), np.log(np.maximum(shape, np.exp(0.1)))


def profiles(random: np.random.Generator, energy: Array) -> tuple[Array, Array]:
    """T and a of single showers of `energy [P]` GeV: log-normal, correlated, kept in bounds as in Geant4's GFlash."""
    log_y = _log_y(energy)
    mean_t, mean_a = mean_logs(energy)
    # The bounds matter below 1 GeV, where the formulas are extrapolated.
    spread_t, spread_a = 1 / np.maximum(-2.5 + 1.25 * log_y, 2), 1 / np.maximum(-0.82 + 0.79 * log_y, 2)
    correlation = 0.784 - 0.023 * log_y
    common = np.sqrt((1 + correlation) / 2) * random.standard_normal(len(energy))
    opposed = np.sqrt((1 - correlation) / 2) * random.standard_normal(len(energy))
    top = np.maximum(np.exp(mean_t + spread_t * (common + opposed)), 1.0)
    return top, np.maximum(np.exp(mean_a + spread_a * (common - opposed)), 1.1)


def radial(energy: Array, tau: Array) -> tuple[Array, Array, Array]:
    """Radii of core and tail [R_M], and the core's share, at depths `tau [P, steps]` in units of the mean depth."""
    medium = CALORIMETER
    log_e = np.log(np.maximum(energy, medium.critical_energy / 1000))[:, None]
    deficit, early = 1 - medium.electron_response, np.exp(-tau) / medium.sampling_frequency
    core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * medium.z) * tau - 0.0203 * deficit + 0.0397 * early
    tail = np.exp(-2.59 * (tau - 0.645)) + np.exp((0.3585 + 0.0421 * log_e) * (tau - 0.645))
    tail = (0.659 - 0.00309 * medium.z) * tail - 0.14 * deficit - 0.495 * early
    bend = (0.401 + 0.00187 * medium.z - tau) / (1.313 - 0.0686 * log_e)
    share = (2.632 - 0.00094 * medium.z) * np.exp(bend - np.exp(bend))
    share += deficit * (0.348 - 0.642 * np.exp(-((tau - 1) ** 2)) / medium.sampling_frequency)
    return np.maximum(core, 0.0), np.maximum(tail, 0.0), np.clip(share, 0, 1)


def shower(
    random: np.random.Generator, event: NDArray[np.int64], start: Array, direction: Array, energy: Array, events: int
) -> tuple[Array, Array]:
    """Simulate photons; several of them may share an event.

    They start anywhere. Those from outside enter the medium, which is infinite in x and y, through the plane of the
    front or the back face; photons that never do leave no energy.

    Args:
        random: source of all random numbers.
        event: the event of each photon `[P]`.
        start: `[P, 3]`, mm from the centre of the front face; direction: unit vectors `[P, 3]`.
        energy: `[P]`, GeV.
        events: how many events there are.

    Returns:
        Visible energy in the voxels `[events, 504]`, and outside of the cube `[events]`, both in MeV.

    Raises:
        BadInput: numba is not installed.
    """
    try:
        from sideband.benchmarks.simulate.showers.spots import deposit
    except ImportError as error:
        need = "not installed, and simulating showers needs it: pip install -c constraints.txt '.[train]'"
        raise BadInput(f"{error.name}: {need}") from error
    medium = CALORIMETER
    x0 = 10 * medium.radiation_length
    enters, way = _entrance(start[:, 2], direction[:, 2])
    event, direction, energy = event[enters], direction[enters], energy[enters]
    way = way[enters] + x0 * 9 / 7 * random.standard_exponential(len(energy))  # up to the conversion to a pair
    top, shape = profiles(random, energy)
    part = _in_steps(shape, (shape - 1) / top)
    gain = SAMPLING_TERM**2  # GeV
    deposited = gain * random.standard_gamma(energy[:, None] * part / gain)
    spot_top, spot_shape = top * (0.813 + 0.0019 * medium.z), shape * (0.844 + 0.0026 * medium.z)
    number = 10.3 / SAMPLING_TERM * energy**0.959
    spots = random.poisson(SPLIT * number[:, None] * _in_steps(spot_shape, (spot_shape - 1) / spot_top))
    spots = np.maximum(spots, deposited > 0)
    mean_a = np.exp(mean_logs(energy)[1])
    tau = STEP * (np.arange(STEPS) + 0.5) * ((shape - 1) / (shape * top) * mean_a / (mean_a - 1))[:, None]
    core, tail, share = radial(energy, tau)
    across = 10 * medium.moliere_radius
    visible = 1000 * medium.sampling_fraction * deposited
    voxels, lost = np.zeros((events, VOXELS)), np.zeros(events)
    first = start[enters] + way[:, None] * direction
    deposit(
        random, event, first, direction, STEP * x0, spots, visible, across * core, across * tail, share, voxels, lost
    )
    voxels[voxels < THRESHOLD] = 0.0
    return voxels, lost


def photons(count: int, seed: int, purpose: str = "photons", low: float = 1.0, high: float = 100.0) -> Showers:
    """Photons of uniform energy along +z, at the centre of the front face.

    Args:
        count: number of photons.
        seed, purpose: equal ones give equal showers, and a larger sample begins with the same ones.
        low, high: range of the energy, GeV; they may be equal.

    Raises:
        BadInput: numba is not installed.
    """

    def block(random: np.random.Generator) -> tuple[Array, Array, Array]:
        energy = random.uniform(low, high, BLOCK)
        start, direction = np.zeros((BLOCK, 3)), np.tile([0.0, 0.0, 1.0], (BLOCK, 1))
        return energy, *shower(random, np.arange(BLOCK), start, direction, energy, BLOCK)

    return in_blocks(block, count, seed, purpose)


def in_blocks(
    block: Callable[[np.random.Generator], tuple[Array, Array, Array]], count: int, seed: int, purpose: str
) -> Showers:
    """Showers of `count` events from whole blocks of 1,000 (energy, voxels, lost), each with its own generator.

    Raises:
        BadInput: there are too many for the memory.
    """
    check_memory(count, f"{count:,} showers")
    made = Showers(np.empty(count, np.float32), np.empty((count, VOXELS), np.float32), np.empty(count, np.float32))
    for index, first in enumerate(range(0, count, BLOCK)):
        rows = slice(first, min(first + BLOCK, count))
        columns = made.energy, made.voxels, made.lost
        for column, values in zip(columns, block(generator(seed, purpose, index)), strict=True):
            column[rows] = values[: rows.stop - first]
    return made


def check_memory(count: int, what: str) -> None:
    """Refuse more showers than fit into the memory before any is made; raises `BadInput`."""
    events.check_memory(4 * count * (VOXELS + 2), what, "choose fewer")


def _log_y(energy: Array) -> Array:
    return np.log(np.maximum(1000 * energy / CALORIMETER.critical_energy, 1.0))


def _entrance(z: Array, along: Array) -> tuple[NDArray[np.bool_], Array]:
    """Which photons enter the medium, and after which distance [mm], from their z and its change along the way."""
    back = BOUNDARIES[-1]
    face = np.where(z < 0, 0.0, np.where(z > back, back, z))
    ahead = (z == face) | ((face - z) * along > 0)
    return ahead, np.divide(face - z, along, out=np.zeros_like(z), where=ahead & (z != face))


def _in_steps(shape: Array, rate: Array) -> Array:
    """Share of a Gamma profile in each step `[P, STEPS]`; the last step is infinite."""
    edges = STEP * np.arange(STEPS + 1.0)
    edges[-1] = np.inf
    # Beyond the end of the profile, rounding alone decides the sign of a difference.
    return np.maximum(np.diff(gammainc(shape[:, None], rate[:, None] * edges)), 0.0)

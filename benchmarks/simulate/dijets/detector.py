"""A fast detector: tracks and calorimeter towers become massless particle-flow objects, as in Delphes' CMS card.

After DELPHES 3 (arXiv:1307.6346): tracks with efficiency and resolution; energy summed in cells of an electromagnetic
and a hadronic calorimeter, smeared log-normally; energy in a cell beyond that of its tracks becomes a neutral object.
Energies and momenta in GeV, |η| < 3.5.
"""

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ETA_MAX = 3.5
TRACKER = 2.5  # |η|, and from 0.1 GeV of transverse momentum
ECAL_ETA = 3.0  # beyond, the forward part of the hadronic calorimeter sees photons and electrons

# Cells: size and number in η, number in φ; centred on η = 0.
ECAL_D, ECAL_N, ECAL_PHI = 0.0174, 346, 360
HCAL_D, HCAL_N, HCAL_PHI = 0.0871, 116, 72

INVISIBLE = (12, 14, 16)
CHARGED = (11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334)
MUON, ELECTRON, PHOTON = 13, 11, 22


@numba.njit(cache=True)
def _lognormal(random: Any, mean: float, spread: float) -> float:
    if mean <= 0.0:
        return 0.0
    width = math.sqrt(math.log1p((spread / mean) ** 2))
    return math.exp(math.log(mean) - 0.5 * width**2 + width * random.standard_normal())


@numba.njit(cache=True)
def track_efficiency(pt: float, eta: float) -> float:
    """Probability that a charged particle of transverse momentum `pt` at |η| leaves a track."""
    if eta <= 1.5:
        return 0.70 if pt < 1.0 else 0.95
    return 0.60 if pt < 1.0 else 0.85


@numba.njit(cache=True)
def track_resolution(pt: float, eta: float) -> float:
    """Relative resolution of a track's transverse momentum at |η|."""
    if eta <= 0.5:
        return math.hypot(0.01, 1.5e-4 * pt)
    if eta <= 1.5:
        return math.hypot(0.015, 2.5e-4 * pt)
    return math.hypot(0.025, 5.5e-4 * pt)


@numba.njit(cache=True)
def cell_resolution(energy: float, eta: float, hadronic: bool) -> float:
    """Energy resolution of a calorimeter cell [GeV] at |η|."""
    if hadronic:
        if eta <= 3.0:
            return math.sqrt((0.05 * energy) ** 2 + 1.50**2 * energy)
        return math.sqrt((0.11 * energy) ** 2 + 2.80**2 * energy)
    if eta <= 2.5:
        barrel = 1.0 + 0.64 * eta**2 if eta <= 1.5 else 2.16 + 5.6 * (eta - 2.0) ** 2
        return barrel * math.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    return math.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)


@numba.njit(cache=True)
def _read_out(
    random: Any, cells: Array, seen: NDArray[np.int64], size: float, shape: tuple[int, int], hadronic: bool, out: Array
) -> int:
    """Write the neutral objects of the hit cells to `out`, clear these cells, and return the number of objects."""
    least = 1.0 if hadronic else 0.5
    number = 0
    for cell in seen:
        row, column = cell // shape[1], cell % shape[1]
        centre = (row + 0.5 - 0.5 * shape[0]) * size
        deposited, tracks = cells[0, cell], cells[1, cell]
        cells[:, cell] = 0.0
        energy = _lognormal(random, deposited, cell_resolution(deposited, abs(centre), hadronic))
        spread = cell_resolution(energy, abs(centre), hadronic)
        neutral = energy - tracks
        if energy > max(least, spread) and neutral > max(least, spread):
            eta = centre + (random.random() - 0.5) * size
            out[number, 0] = neutral / math.cosh(eta)
            out[number, 1] = eta
            out[number, 2] = (column + random.random()) * 2 * math.pi / shape[1] - math.pi
            number += 1
    return number


@numba.njit(cache=True)
def _hit(cells: Array, seen: NDArray[np.int64], number: int, cell: int, energy: float, track: float) -> int:
    """Add a particle to a cell; `seen` lists the cells with energy. Returns their number."""
    if cells[0, cell] == 0.0:
        seen[number] = cell
        number += 1
    cells[0, cell] += energy
    cells[1, cell] += track
    return number


@numba.njit(cache=True)
def observe(random: Any, offsets: NDArray[np.int64], ids: NDArray[np.int64], p: Array) -> tuple[Array, Any]:
    """Turn stable particles into particle-flow objects.

    Args:
        random: a `numpy.random.Generator`.
        offsets: the first particle of each event `[events + 1]`.
        ids: PDG codes `[particles]`.
        p: px, py, pz, energy `[4, particles]` in GeV.

    Returns:
        Objects (transverse momentum, η, φ) `[objects, 3]`, and the first object of each event `[events + 1]`.
    """
    ecal, ecal_seen = np.zeros((2, ECAL_N * ECAL_PHI)), np.empty(ECAL_N * ECAL_PHI, np.int64)
    hcal, hcal_seen = np.zeros((2, HCAL_N * HCAL_PHI)), np.empty(HCAL_N * HCAL_PHI, np.int64)
    out = np.empty((2 * len(ids), 3))  # at most a track and a cell for each particle
    starts = np.zeros(len(offsets), np.int64)
    number = 0
    for event in range(len(offsets) - 1):
        ecal_hits, hcal_hits = 0, 0
        for i in range(offsets[event], offsets[event + 1]):
            pid = abs(ids[i])
            pt = math.hypot(p[0, i], p[1, i])
            if pid in INVISIBLE or pt < 1e-3:
                continue
            eta, phi = math.asinh(p[2, i] / pt), math.atan2(p[1, i], p[0, i])
            if abs(eta) >= ETA_MAX:
                continue
            track = 0.0
            trackable = pid in CHARGED and abs(eta) < TRACKER and pt > 0.1
            if trackable and random.random() < track_efficiency(pt, abs(eta)):
                seen_pt = _lognormal(random, pt, pt * track_resolution(pt, abs(eta)))
                out[number, 0], out[number, 1], out[number, 2] = seen_pt, eta, phi
                number += 1
                track = seen_pt * math.cosh(eta)
            if pid == MUON:
                continue
            turn = (phi + math.pi) / (2 * math.pi)
            if pid in (PHOTON, ELECTRON) and abs(eta) < ECAL_ETA:
                cell = int(eta / ECAL_D + 0.5 * ECAL_N) * ECAL_PHI + min(int(turn * ECAL_PHI), ECAL_PHI - 1)
                ecal_hits = _hit(ecal, ecal_seen, ecal_hits, cell, p[3, i], track)
            else:
                cell = int(eta / HCAL_D + 0.5 * HCAL_N) * HCAL_PHI + min(int(turn * HCAL_PHI), HCAL_PHI - 1)
                hcal_hits = _hit(hcal, hcal_seen, hcal_hits, cell, p[3, i], track)
        number += _read_out(random, ecal, ecal_seen[:ecal_hits], ECAL_D, (ECAL_N, ECAL_PHI), False, out[number:])
        number += _read_out(random, hcal, hcal_seen[:hcal_hits], HCAL_D, (HCAL_N, HCAL_PHI), True, out[number:])
        starts[event + 1] = number
    return out[:number], starts

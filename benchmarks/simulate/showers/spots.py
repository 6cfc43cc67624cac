"""The inner loop of the simulation: spots of energy along the axis of a shower, added to voxels."""

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.simulate.showers.geometry import BOUNDARIES, HALF_WIDTH, LAYERS, STARTS

Array = NDArray[np.float64]


@numba.njit(cache=True)
def voxel(x: float, y: float, z: float) -> int:
    """Index of the voxel around a point [mm from the centre of the front face]; -1 outside of the cube."""
    if not (abs(x) < HALF_WIDTH and abs(y) < HALF_WIDTH and BOUNDARIES[0] <= z < BOUNDARIES[3]):
        return -1
    layer = 0 if z < BOUNDARIES[1] else 1 if z < BOUNDARIES[2] else 2
    nx, ny = LAYERS[layer]
    column = int((x + HALF_WIDTH) / (2 * HALF_WIDTH) * nx)
    row = int((y + HALF_WIDTH) / (2 * HALF_WIDTH) * ny)
    # A position rounded up to the far edge belongs to the last cell.
    return STARTS[layer] + min(column, nx - 1) * ny + min(row, ny - 1)


@numba.njit(cache=True)
def deposit(
    random: Any,
    event: NDArray[np.int64],
    start: Array,
    direction: Array,
    length: float,
    spots: NDArray[np.int64],
    energy: Array,
    core: Array,
    tail: Array,
    share: Array,
    voxels: Array,
    lost: Array,
) -> None:
    """Add the spots of showers to the voxels of their events, or to `lost` if they fall outside.

    Args:
        random: a `numpy.random.Generator`.
        event: the event of each shower `[P]`; several showers may share one.
        start: the beginning of each shower `[P, 3]`, mm from the centre of the front face.
        direction: unit vectors along the showers `[P, 3]`.
        length: of a step along the axis, mm.
        spots, energy: number of spots in each step, and their total energy `[P, steps]`.
        core, tail: radii of the two parts of the lateral profile, mm; share: of the core, all `[P, steps]`.
        voxels, lost: results `[events, 504]` and `[events]`, added to in place, in the unit of `energy`.
    """
    shares = np.empty(spots.max() if spots.size else 0)
    for i in range(len(event)):
        dx, dy, dz = direction[i]
        # Two orthogonal unit vectors (Duff et al., JCGT 6 (2017) 1), stable for all directions.
        sign = math.copysign(1.0, dz)
        a = -1.0 / (sign + dz)
        b = dx * dy * a
        ux, uy, uz = 1.0 + sign * dx * dx * a, sign * b, -sign * dx
        vx, vy, vz = b, sign + dy * dy * a, -dy
        for step in range(spots.shape[1]):
            total = 0.0
            for spot in range(spots[i, step]):
                shares[spot] = random.standard_exponential()
                total += shares[spot]
            for spot in range(spots[i, step]):
                part = energy[i, step] * shares[spot] / total
                along = (step + random.random()) * length
                radius = core[i, step] if random.random() < share[i, step] else tail[i, step]
                # A point in the unit disc has a uniform azimuth and a uniform s; r = R √(s / (1 - s)) follows
                # 2 r R² / (r² + R²)², and needs no angle.
                s = 1.0
                while s >= 1.0:
                    p, q = 2.0 * random.random() - 1.0, 2.0 * random.random() - 1.0
                    s = p * p + q * q
                scale = radius / math.sqrt(1.0 - s)
                p, q = p * scale, q * scale
                x = start[i, 0] + along * dx + p * ux + q * vx
                y = start[i, 1] + along * dy + p * uy + q * vy
                z = start[i, 2] + along * dz + p * uz + q * vz
                place = voxel(x, y, z)
                if place < 0:
                    lost[event[i]] += part
                else:
                    voxels[event[i], place] += part

"""The calorimeter's read-out: the cube of CaloGAN (arXiv:1712.10321) and CaloFlow, in three layers of cells.

Each layer covers the whole face, ±240 mm in x and y. Voxels are flat: layer after layer, and x-major within a layer.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS = ((3, 96), (12, 12), (12, 6))  # cells in x and in y
SIZES = tuple(nx * ny for nx, ny in LAYERS)
STARTS = (0, *itertools.accumulate(SIZES))
VOXELS = STARTS[-1]

HALF_WIDTH = 240.0  # mm
BOUNDARIES = (0.0, 90.0, 437.0, 480.0)  # of the layers, mm behind the front face
FACE, END = 1.00, 1.48  # front and back, m from where particles are made

THRESHOLD = 0.01  # MeV: a voxel with less energy reads zero

UNITS = {"energy": "GeV", "showers": "MeV", "lost": "MeV"}  # of the columns of an events file

layer_of: NDArray[np.int64] = np.repeat(np.arange(len(LAYERS)), SIZES)


def layer_energies(voxels: NDArray[Any]) -> NDArray[np.float64]:
    """Energy in each layer `[N, 3]`, in the unit of the voxels `[N, 504]`."""
    return np.add.reduceat(voxels, STARTS[:-1], axis=1, dtype=np.float64)


def images(voxels: NDArray[Any]) -> list[NDArray[Any]]:
    """Voxels `[N, 504]` as one image `[N, x, y]` a layer."""
    return [
        voxels[:, start : start + size].reshape(-1, *shape)
        for start, size, shape in zip(STARTS[:-1], SIZES, LAYERS, strict=True)
    ]

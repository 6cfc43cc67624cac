"""The cells of the calorimeter: how many, in which order, and where."""

import numpy as np
import pytest

from sideband.benchmarks.simulate.showers import geometry
from sideband.benchmarks.simulate.showers.spots import voxel


def test_flat_order_is_layer_by_layer_and_x_major() -> None:
    voxels = np.arange(2 * geometry.VOXELS, dtype=np.float32).reshape(2, -1)
    first, second, third = geometry.images(voxels)
    assert [image.shape for image in (first, second, third)] == [(2, 3, 96), (2, 12, 12), (2, 12, 6)]
    assert first[0, 2, 5] == 2 * 96 + 5
    assert second[1, 3, 7] == 504 + 288 + 3 * 12 + 7
    assert third[0, 11, 5] == geometry.VOXELS - 1 == 503
    assert np.bincount(geometry.layer_of).tolist() == [288, 144, 72]
    np.testing.assert_array_equal(
        geometry.layer_energies(voxels), [[part[geometry.layer_of == i].sum() for i in range(3)] for part in voxels]
    )


@pytest.mark.parametrize("layer", range(3))
def test_every_cell_is_where_its_image_shows_it(layer: int) -> None:
    nx, ny = geometry.LAYERS[layer]
    z = sum(geometry.BOUNDARIES[layer : layer + 2]) / 2
    for ix in range(nx):
        for iy in range(ny):
            place = voxel(480 * (ix + 0.5) / nx - 240, 480 * (iy + 0.5) / ny - 240, z)
            one = np.zeros((1, geometry.VOXELS))
            one[0, place] = 1
            assert geometry.images(one)[layer][0, ix, iy] == 1


def test_outside_of_the_cube_there_is_no_cell() -> None:
    for point in ((240, 0, 50), (-240, 0, 50), (0, 300, 50), (0, 0, -1e-9), (0, 0, 480), (np.nan, 0, 50)):
        assert voxel(*point) == -1, point
    below = np.nextafter(240, 0)
    assert voxel(below, below, 50) == 2 * 96 + 95
    assert voxel(0, 0, 90) == voxel(1, 1, 91)

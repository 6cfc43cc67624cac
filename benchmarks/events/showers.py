"""Readers of calorimeter showers in three layouts: ours, that of CaloGAN and CaloFlow, and the CaloChallenge's."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.simulate.showers.geometry import LAYERS, UNITS, VOXELS
from sideband.benchmarks.simulate.showers.simulation import Showers, check_memory
from sideband.infer import events
from sideband.infer.errors import BadInput

Array = NDArray[np.float32]

SLICE = 10_000  # showers read at a time


@dataclass(frozen=True)
class Layout:
    """The datasets of a layout.

    Args:
        energy: the incident energy.
        per_gev: what 1 GeV is in the unit of that energy.
        voxels: the energies in the cells, by name, with their shapes.
        outside: the energy outside of the cells.
    """

    energy: str
    per_gev: float
    voxels: dict[str, tuple[int, ...]]
    outside: str = "lost"


LAYOUTS = {
    "ours": Layout("energy", 1, {"showers": (VOXELS,)}),
    "CaloFlow": Layout("energy", 1, {f"layer_{i}": shape for i, shape in enumerate(LAYERS)}, "overflow"),
    "CaloChallenge": Layout("incident_energies", 1000, {"showers": (VOXELS,)}),
}


def read(path: str | Path) -> Showers:
    """Read showers in any of the layouts, which differ in their datasets.

    - Ours: `energy [N]` GeV, `showers [N, 504]` MeV, and perhaps `lost [N]` MeV.
    - CaloGAN and CaloFlow (arXiv:2312.11618): `energy [N, 1]` GeV, `layer_0 [N, 3, 96]`, `layer_1 [N, 12, 12]`,
      `layer_2 [N, 12, 6]` and perhaps `overflow [N, 3]`, MeV.
    - CaloChallenge (arXiv:2410.21611): `incident_energies [N, 1]` and `showers [N, 504]`, MeV.

    Files that do not say how much energy is lost have none lost.

    Raises:
        BadInput: the file cannot be read, has none of the layouts or another geometry, or holds impossible values: NaN,
            infinite or negative energies, incident energies of 0, or showers without any energy.
    """
    faults: defaultdict[str, list[int]] = defaultdict(list)
    with events.opened(path) as file:
        layout = _layout(file, path)
        outside = [layout.outside] if layout.outside in file else []
        data = events.datasets(file, [layout.energy, *layout.voxels, *outside], path)
        count = data[layout.energy].shape[0]
        if not count:
            raise BadInput(f"{path}: holds no showers")
        _check_shapes(data, layout, path)
        check_memory(count, f"{path}: its showers")
        found = Showers(np.empty(count, np.float32), np.empty((count, VOXELS), np.float32), np.empty(count, np.float32))
        for first in range(0, count, SLICE):
            rows = slice(first, min(first + SLICE, count))
            energy = _table(data, [layout.energy], rows, path)[:, 0] / np.float32(layout.per_gev)
            voxels, lost = _table(data, list(layout.voxels), rows, path), _table(data, outside, rows, path)
            everything = np.column_stack([energy, voxels, lost])
            broken = {
                "NaN or infinite values": ~np.isfinite(everything).all(axis=1),
                "negative energies": (everything < 0).any(axis=1),
                "an incident energy of 0": energy == 0,
                "no energy in any voxel": ~(voxels > 0).any(axis=1),
            }
            for what, bad in broken.items():
                faults[what] += (first + np.flatnonzero(bad)).tolist()
            with np.errstate(invalid="ignore"):  # infinities of both signs, refused below
                found.energy[rows], found.voxels[rows], found.lost[rows] = energy, voxels, lost.sum(axis=1)
    for what, where in faults.items():
        if where:
            raise BadInput(f"{path}: {len(where)} showers with {what} (first: row {where[0]}); drop those events")
    return found


def write(path: str | Path, showers: Showers, label: NDArray[Any] | None = None, **columns: NDArray[Any]) -> None:
    """Write showers in our layout; the file appears only when it is complete.

    Args:
        path: the file.
        showers: N of them.
        label: `[N]`, 1 for signal and 0 for background, if known.
        columns: further datasets of N rows.

    Raises:
        BadInput: the place cannot be written.
    """
    known = {} if label is None else {"label": label.astype(np.int8)}
    with events.new_file(path) as file:
        made = {"energy": showers.energy, "showers": showers.voxels, "lost": showers.lost}
        events.write(file, {**made, **known, **columns}, UNITS)


def _layout(file: h5py.Group, path: str | Path) -> Layout:
    for layout in LAYOUTS.values():
        if all(name in file for name in (layout.energy, *layout.voxels)):
            return layout
    needed = "; ".join(f"{', '.join((one.energy, *one.voxels))} ({name})" for name, one in LAYOUTS.items())
    raise BadInput(f"{path}: not a file of showers: it has {events.listed(file)}, but must have {needed}")


def _check_shapes(data: Mapping[str, h5py.Dataset], layout: Layout, path: str | Path) -> None:
    if math.prod(data[layout.energy].shape[1:]) != 1:
        shape = data[layout.energy].shape
        raise BadInput(f"{path}: '{layout.energy}' has shape {shape}; must be one number per shower")
    cells = ", ".join(f"{nx} x {ny}" for nx, ny in LAYERS)
    for name, expected in layout.voxels.items():
        found = data[name].shape[1:]
        if found != expected:
            raise BadInput(
                f"{path}: '{name}' holds {' x '.join(map(str, found)) or 1} voxels per shower, not "
                f"{' x '.join(map(str, expected))}: this geometry has {VOXELS} voxels in layers of {cells}; "
                "give showers of this geometry"
            )


def _table(data: Mapping[str, h5py.Dataset], names: list[str], rows: slice, path: str | Path) -> Array:
    """Rows of some datasets as one flat table `[n, columns]`."""
    table = [np.empty((rows.stop - rows.start, 0), np.float32)]
    for name in names:
        with events.undamaged(path, f"column {name!r} "):
            values = data[name][rows]
        table.append(events.as_float32(values).reshape(len(values), -1))
    return np.concatenate(table, axis=1)

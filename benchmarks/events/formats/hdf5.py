"""HDF5: a dataset for each column, in the file itself or in a group; or one dataset of records."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py

from sideband.benchmarks.events.formats import ROWS, Chunk, Place, check_names, numbers
from sideband.infer import events
from sideband.infer.damage import undamaged
from sideband.infer.errors import BadInput


class Columns:
    """A group whose datasets are columns."""

    def __init__(self, path: Path, node: h5py.Group) -> None:
        self.path, self.node = path, node
        self.there = {name: each for name, each in events.items(node).items() if isinstance(each, h5py.Dataset)}

    @property
    def units(self) -> Mapping[str, str]:
        """The attribute `unit` of each dataset."""
        return {name: events.unit(data, name, self.path) for name, data in self.there.items()}

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Rows of the datasets."""
        found = events.datasets(self.node, list(names), self.path)
        length = min((data.shape[0] for data in found.values()), default=0)
        for start in range(0, length, ROWS):
            chunk = {}
            for name, data in found.items():
                with undamaged(self.path, f"column {name!r} "):
                    chunk[name] = data[start : start + ROWS]
            yield chunk


class _Records:
    """A dataset each entry of which is a record with named numbers."""

    def __init__(self, path: Path, data: h5py.Dataset) -> None:
        self.path, self.data = path, data
        self.units = dict.fromkeys(data.dtype.names or (), "")
        wrong = events.unstored(data)
        if wrong or data.ndim != 1:
            raise BadInput(f"{path}: dataset {data.name!r} {wrong or f'has shape {data.shape}; must be [events]'}")

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        check_names(self.path, names, list(self.units))
        for start in range(0, self.data.shape[0], ROWS):
            with undamaged(self.path):
                rows = self.data[start : start + ROWS]
            yield {name: numbers(self.path, name, rows[name]) for name in names}


@contextmanager
def opened(path: Path, place: Place) -> Iterator[Columns | _Records]:
    """The group, or the dataset of records, that `place` names; raises `BadInput`."""
    with events.opened(path) as file:
        node: h5py.HLObject | None = file
        for name in place.group.strip("/").split("/") if place.group.strip("/") else ():
            node = events.item(node, name) if isinstance(node, h5py.Group) else None
        if isinstance(node, h5py.Dataset) and node.dtype.names:
            yield _Records(path, node)
        elif isinstance(node, h5py.Group):
            _check_filled(path, node)
            yield Columns(path, node)
        else:
            raise BadInput(f"{path}: no group {place.group!r} (there: {_groups(file)}); correct dataset.group")


def _check_filled(path: Path, node: h5py.Group) -> None:
    """Refuse a group without columns, where another one has them."""
    inside = events.items(node).values()
    if not any(isinstance(each, h5py.Dataset) and not each.dtype.names for each in inside) and _groups(node):
        raise BadInput(f"{path}: no columns in '{node.name}', but it has: {_groups(node)}; name one as dataset.group")


def _groups(node: h5py.Group) -> str:
    """The groups and datasets of records in a group, by name; "" if there are none."""
    found = [
        name
        for name, each in events.items(node).items()
        if isinstance(each, h5py.Group) or (isinstance(each, h5py.Dataset) and each.dtype.names)
    ]
    return events.listed(found) if found else ""

"""Columns of events in HDF5: read with clear errors, and written atomically.

The related functions of `files`, `hdf5` and `stream` are available here, too.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from . import rows as references
from .columns import ROW, Columns
from .damage import undamaged
from .errors import BadInput
from .files import atomic, check_output, read_json, sha256, sole_writer, writable, write_json
from .hdf5 import (
    as_float32,
    attribute,
    attributes,
    column,
    column_of,
    fault,
    identity,
    is_pandas,
    item,
    items,
    listed,
    opened,
    unit,
    unstored,
)
from .stream import Stream

__all__ = [
    "Columns", "Stream", "as_float32", "atomic", "attribute", "attributes", "check_memory", "check_output", "column",
    "count", "datasets", "fault", "identity", "in_window", "is_pandas", "item", "items", "listed", "new_file", "opened",
    "read", "read_json", "rows_of", "sha256", "shape", "sole_writer", "undamaged", "unit", "unstored", "whole",
    "writable", "write", "write_json",
]  # fmt: skip


def read(path: str | Path, columns: Sequence[str], group: str = "/", rows: slice = slice(None)) -> Columns:
    """Read columns of events as float32 arrays `[N]` (wide columns `[N, …]`), all finite and of equal length.

    Raises:
        BadInput: a column is missing, not numeric, of another length, damaged, larger than the memory, or holds NaN or
            infinity.
    """
    with opened(path, group) as node:
        found = datasets(node, columns, path)
        _check_room(found, rows, path)
        return {name: column(data, name, path, rows) for name, data in found.items()}


def whole(
    path: str | Path, columns: Sequence[str], group: str = "/", rows: slice = slice(None)
) -> dict[str, NDArray[Any]]:
    """Read columns of whole numbers `[N]` as they are stored.

    Raises:
        BadInput: one is missing, damaged, or of another type.
    """
    with opened(path, group) as node:
        found = datasets(node, columns, path)
        for name, data in found.items():
            if data.dtype.kind not in "iu" or data.ndim != 1:
                raise BadInput(f"{path}: column {name!r} does not hold one whole number an event; make the file again")
        with undamaged(path):
            return {name: data[rows] for name, data in found.items()}


def rows_of(path: str | Path, group: str, name: str = ROW) -> NDArray[np.uint32] | None:
    """Where each event of a group stands in the files that it came from `[N]`; None where no column says so.

    Raises:
        BadInput: the column is damaged, or of another type.
    """
    with opened(path, group) as node:
        there = name in node
    return whole(path, [name], group)[name].astype(np.uint32) if there else None


def count(node: h5py.Group, columns: Sequence[str], path: str | Path) -> int:
    """The common length of `columns` in `node`, checked; raises `BadInput` as `read` does."""
    return next((data.shape[0] for data in datasets(node, columns, path).values()), 0)


def datasets(node: h5py.Group, columns: Sequence[str], path: str | Path) -> dict[str, h5py.Dataset]:
    """The datasets of `columns` in `node`, checked but for their values; raises `BadInput` as `read` does.

    A column that refers to rows of other files comes as `Rows`, which reads like a dataset.
    """
    found = {}
    for name in columns:
        data = column_of(node, name, path)
        found[name] = references.Rows(data, name, path) if references.refers(data) else data
    if len({data.shape[0] for data in found.values()}) > 1:
        lengths = listed(f"{name} {data.shape[0]}" for name, data in found.items())
        raise BadInput(f"{path}: columns of unequal length: {lengths}")
    return found


def shape(node: h5py.HLObject, name: str, path: str | Path) -> tuple[int, ...]:
    """The shape of a column's values, wherever they are; `()` for anything but an array."""
    if not isinstance(node, h5py.Dataset):
        return ()
    return (references.Rows(node, name, path) if references.refers(node) else node).shape or ()


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Refuse what takes more bytes than this machine has memory, before allocating it; raises `BadInput`."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise BadInput(f"{what} take {needed / 1e9:.3g} GB, and there are {there / 1e9:.3g} GB of memory; {remedy}")


def _check_room(found: Mapping[str, h5py.Dataset], rows: slice, path: str | Path) -> None:
    """Check the memory for all columns as float32, and for one of them as it is stored."""
    numbers = {
        name: len(range(*rows.indices(each.shape[0]))) * math.prod(each.shape[1:]) for name, each in found.items()
    }
    stored = max((number * found[name].dtype.itemsize for name, number in numbers.items()), default=0)
    check_memory(4 * sum(numbers.values()) + stored, f"{path}: its events", "give fewer")


def in_window(mass: NDArray[Any], window: Sequence[float]) -> NDArray[np.bool_]:
    """Which masses lie strictly inside the signal region; compared in float32, as they are stored."""
    low, high = (np.float32(edge) for edge in window)
    return (mass > low) & (mass < high)


@contextmanager
def new_file(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; it appears at `path` only if the block succeeds.

    It stays in memory until then: HDF5 ends the whole process if the disk fills up before a file is closed.

    Raises:
        BadInput: the place cannot be written.
    """
    with atomic(path) as temporary:
        with h5py.File(temporary, "w", driver="core", backing_store=False, block_size=2**20) as file:
            yield file
            file.flush()
            image = file.id.get_file_image()
        temporary.write_bytes(image)


def write(group: h5py.Group, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str] | None = None) -> None:
    """Write columns of one length into an open group, each with its unit."""
    for name, each in columns.items():
        # Voxels are mostly zero.
        wide = each.ndim > 1 and len(each)
        packed = {"compression": "lzf", "chunks": (min(len(each), 1000), *each.shape[1:])} if wide else {}
        data = group.create_dataset(name, data=each, **packed)
        if units and name in units:
            data.attrs["unit"] = units[name]

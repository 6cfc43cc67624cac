"""What stands in an HDF5 file: groups, attributes, and datasets that can be columns of events."""

import functools
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .damage import check_heaps, check_regular, kind, undamaged
from .errors import BadInput

PLACE = ("first", "count")  # the attributes by which parts of one template differ
_PLAIN = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM}  # classes of attributes


@contextmanager
def opened(path: str | Path, group: str = "/") -> Iterator[h5py.Group]:
    """Open one group of an HDF5 file for reading.

    Raises:
        BadInput: the file does not exist, is not HDF5, lacks the group, or turns out to be damaged within the block.
    """
    check_regular(path)
    check_heaps(str(path), os.stat(path).st_mtime_ns)
    with undamaged(path):
        try:
            handle = h5py.File(path, "r")
        except BlockingIOError:
            raise BadInput(f"{path}: another program is writing it; wait until that has finished") from None
        except OSError:
            if not kind(path):
                raise
            raise BadInput(
                f"{path}: {kind(path)}, not HDF5; write its columns to an HDF5 file, or fetch it again"
            ) from None
        with handle:
            node = handle[group] if group in handle else None  # noqa: SIM401 (`get` would hide damage)
            if not isinstance(node, h5py.Group):
                raise BadInput(f"{path}: no group '{group}' (it has: {listed(handle)})")
            yield node


def items(node: h5py.Group) -> dict[str, h5py.HLObject | None]:
    """The items of a group by name; None for those that `item` does not give."""
    return {_text(name): item(node, name) for name in node}


def item(node: h5py.Group, name: str) -> h5py.HLObject | None:
    """The item of a group by its name; None if there is none, or if its link leads nowhere or to another file."""
    # Names that are not UTF-8 come as bytes, and h5py opens nothing by them.
    known = isinstance(name, str) and name.strip(".") and not {"/", "\0"} & set(name)
    link = node.get(name, getlink=True) if known else None
    if link is None or isinstance(link, h5py.ExternalLink):
        return None
    if not isinstance(link, h5py.SoftLink):
        return node[name]
    try:
        found = node[name]
    except (KeyError, OSError, RuntimeError):  # nothing there, or links in a circle
        return None
    return found if h5py.h5f.get_name(found.id) == h5py.h5f.get_name(node.id) else None


def column_of(node: h5py.Group, name: str, path: str | Path) -> h5py.Dataset:
    """The dataset of a column, whose values are not read yet.

    Raises:
        BadInput: it is missing, is not an array of numbers, or has values that are not in the file.
    """
    data = item(node, name)
    if not isinstance(data, h5py.Dataset):
        if is_pandas(node):
            raise BadInput(f"{path}: a pandas store without one dataset per column; write each column as a dataset")
        there = listed(name for name, each in items(node).items() if isinstance(each, h5py.Dataset))
        raise BadInput(f"{path}: no column {name!r} in '{node.name}' (columns there: {there})")
    wrong = fault(data)
    if wrong:
        raise BadInput(f"{path}: column {name!r} {wrong}")
    return data


def column(data: h5py.Dataset, name: str, path: str | Path, rows: slice = slice(None)) -> NDArray[np.float32]:
    """Rows of a column as float32 `[N, …]`.

    Raises:
        BadInput: a value is damaged, not finite, or beyond float32.
    """
    with undamaged(path, f"column {name!r} "):
        found = as_float32(data[rows])
    finite = np.isfinite(found)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(found), -1).all(axis=1))) + (rows.start or 0)
        bad = int((~finite).sum())
        raise BadInput(
            f"{path}: column {name!r} holds {bad} NaN or infinite values (first: row {row}); drop those events"
        )
    return found


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values as float32; those beyond its range become infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def is_pandas(node: h5py.Group) -> bool:
    """Whether pandas wrote a file, whose columns are then not datasets of their own."""
    return any(isinstance(each, h5py.Group) and "pandas_type" in each.attrs for each in items(node).values())


def fault(data: h5py.Dataset) -> str:
    """Why a dataset cannot be a column of events; "" if it can."""
    if not data.shape or data.dtype.kind not in "fiub":
        return f"is not an array of numbers (type {data.dtype}, shape {data.shape})"
    return unstored(data)


def unstored(data: h5py.Dataset) -> str:
    """Why some of a dataset's values are not in its file; "" if all are."""
    if data.is_virtual:
        return _ungathered(data)
    if data.external:
        return "has its values in other files; write them to this one"
    if math.prod(data.shape) and data.id.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED:
        return f"has {data.shape[0]} rows, but not all of them were ever written; write the file again"
    if data.fletcher32:  # HDF5 crashes where a chunk has no room for its checksum of four bytes
        sizes: list[int] = []
        data.id.chunk_iter(lambda chunk: sizes.append(chunk.size))
        if min(sizes, default=4) < 4:
            return "has chunks without a checksum; it is damaged, fetch or write the file again"
    return ""


def identity(node: h5py.Group) -> dict[str, Any]:
    """The attributes that all parts of one template share."""
    return {name: value for name, value in attributes(node).items() if name not in PLACE}


def _ungathered(data: h5py.Dataset) -> str:
    """Why a dataset is not a column of a gathered template with all its parts; "" if it is.

    HDF5 itself would fill in for what is missing, and take any other file of that name.
    """
    path = data.file.filename
    whole, parts = _parts(path, os.stat(path).st_mtime_ns, data.name)
    if not whole:
        return "has its values in other files; write them to this one"
    end = 0
    for part, start, stop in parts:
        try:
            check_regular(part)
            there = os.stat(part)
            stamp = (there.st_mtime_ns, there.st_size)
            found = _part(part, stamp, data.name) if start == end else None
        except BadInput as error:
            return f"lies in parts, and one is not there ({error}); put it back, or make it again and gather"
        if found != (start, whole, (stop - start, *data.shape[1:]), data.dtype):
            return f"lies in parts, and {part} is not the one that was gathered; put that back, or gather again"
        end = stop
    return "" if end == data.shape[0] else "lies in parts that do not hold all of it; gather again"


@functools.lru_cache(maxsize=256)
def _parts(path: str, modified: int, name: str) -> tuple[str, list[tuple[Path, int, int]]]:
    """The identity of a gathered template, "" for anything else, and the files that hold one of its columns.

    Each file comes with its first row in the column and the row after its last one.
    """
    with h5py.File(path, "r") as file:
        whole = identity(file)
        if "model_sha256" not in whole:
            return "", []
        sources = [(each.file_name, *each.vspace.get_select_bounds()) for each in file[name].virtual_sources()]
    return json.dumps(whole), [(Path(path).parent / part, low[0], high[0] + 1) for part, low, high in sources]


@functools.lru_cache(maxsize=2**14)
def _part(path: Path, stamp: tuple[int, int], name: str) -> tuple[Any, ...] | None:
    """What a part holds: its first event, its identity, and a column's shape and type; None for what is no part."""
    with opened(path) as node:
        data = item(node, name.strip("/"))
        if not isinstance(data, h5py.Dataset) or data.is_virtual or fault(data):
            return None
        return attribute(node, "first"), json.dumps(identity(node)), data.shape, data.dtype


def attribute(node: h5py.HLObject, name: str) -> Any:
    """An attribute as text, number, truth value, or a list of these; None if it is missing or of another type.

    Text may be stored in any way. Bytes that are not UTF-8 become lone surrogates, which are not printable.
    """
    if name not in node.attrs:
        return None
    if node.attrs.get_id(name).get_type().get_class() not in _PLAIN:
        return None  # also because HDF5 may crash on damaged attributes of other types
    value = node.attrs[name]
    if isinstance(value, h5py.Empty):
        return "" if value.dtype.kind in "SO" else None
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return [_text(each) for each in value] if isinstance(value, list) else _text(value)


def attributes(node: h5py.HLObject) -> dict[str, Any]:
    """All attributes of those types."""
    found = {name: attribute(node, name) for name in node.attrs if isinstance(name, str)}
    return {name: value for name, value in found.items() if value is not None}


def unit(data: h5py.Dataset, name: str, path: str | Path) -> str:
    """The unit of a column; "" if it names none. Raises `BadInput` if it is not a text of one line."""
    found = attribute(data, "unit") if "unit" in data.attrs else ""
    if not isinstance(found, str) or not found.isprintable():
        raise BadInput(f"{path}: column {name!r} has an attribute 'unit' that is not a line of text; write it as one")
    return found


def listed(names: Iterable[str], most: int = 20) -> str:
    """Names for a message of one line; only the first ones if there are many."""
    texts = [repr(name)[1:-1] for name in names]
    return ", ".join(texts[:most] + ["…"] * (len(texts) > most)) or "nothing"


def _text(value: Any) -> Any:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value

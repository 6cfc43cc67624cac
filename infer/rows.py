"""Wide columns that a file does not hold: it gives row numbers into events files, where the values stay.

A task of 450,000 events with the constituents of both jets would copy gigabytes. It stores four bytes an event instead.
"""

import functools
import itertools
import math
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import BadInput
from .files import sha256
from .hdf5 import attribute, column, column_of, opened

PAGE = 2**28  # bytes of the last part read that stay in memory: rows in any order touch all of a compressed file
BLOCK = 2**25  # bytes of a file read at a time, at most
GAP = 8  # rows that are cheaper to read than to skip

_ONE_READER = threading.Lock()
_kept: dict[tuple[Any, ...], NDArray[np.float32]] = {}  # the last page

_LISTS = {"files": str, "sha256": str, "lengths": int, "shape": int}  # attributes of such a column: lists of these


class Rows:
    """A column of row numbers, which reads like a dataset of the values that they stand for.

    The files are numbered through: row 0 of the second file follows the last row of the first.

    Args:
        data: the row numbers `[N]`; attributes name the files, their digests and lengths, and the shape of an event.
        name: of the column, the same in all files.
        path: the file that holds `data`; the files' paths start from its folder.

    Raises:
        BadInput: the attributes contradict each other.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, data: h5py.Dataset, name: str, path: str | Path) -> None:
        found = {key: attribute(data, key) for key in _LISTS}
        for key, kind in _LISTS.items():
            if not isinstance(found[key], list) or not all(_is(kind, each) for each in found[key]):
                raise BadInput(f"{path}: column {name!r} lacks a valid attribute '{key}'; draw the task again")
        same = len(found["files"]) == len(found["sha256"]) == len(found["lengths"])
        if not same or data.ndim != 1 or data.dtype.kind not in "iu":
            raise BadInput(f"{path}: column {name!r} has attributes that do not match; draw the task again")
        self.attrs, self.name = data.attrs, data.name
        self.shape: tuple[int, ...] = (data.shape[0], *found["shape"])
        self.ndim = len(self.shape)
        self._data, self._column, self._path = data, name, path
        folder = Path(os.path.realpath(path)).parent
        self._files = [Path(os.path.normpath(folder / each)) for each in found["files"]]
        self._digests, self._lengths = found["sha256"], found["lengths"]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Read the values of some rows, in their order; raises `BadInput` if a file is missing or another one."""
        start, stop, _ = rows.indices(len(self))
        found = np.empty((max(0, stop - start), *self.shape[1:]), np.float32)
        length = max(1, PAGE // max(1, 4 * math.prod(self.shape[1:])))
        for first in range(start - start % length, stop, length):
            page = self._page(slice(first, min(first + length, len(self))))
            part = slice(max(start, first), min(stop, first + length))
            found[part.start - start : part.stop - start] = page[part.start - first : part.stop - first]
        return found

    def _page(self, rows: slice) -> NDArray[np.float32]:
        """The values of a page of rows, in memory until another page is read."""
        key = (os.path.realpath(self._path), os.stat(self._path).st_mtime_ns, self.name, rows.start, rows.stop)
        with _ONE_READER:
            if key not in _kept:
                _kept.clear()
                _kept[key] = self._read(rows)
            return _kept[key]

    def _read(self, rows: slice) -> NDArray[np.float32]:
        numbers = self._data[rows].astype(np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < sum(self._lengths):
            raise BadInput(f"{self._path}: column {self._column!r} refers to missing rows; draw the task again")
        found = np.empty((len(numbers), *self.shape[1:]), np.float32)
        first = 0
        for file, digest, length in zip(self._files, self._digests, self._lengths, strict=True):
            mine = np.flatnonzero((numbers >= first) & (numbers < first + length))
            mine = mine[np.argsort(numbers[mine], kind="stable")]
            if len(mine):
                self._fill(found, mine, numbers[mine] - first, file, digest)
            first += length
        return found

    def _fill(
        self, found: NDArray[np.float32], places: NDArray[np.int64], rows: NDArray[np.int64], file: Path, digest: str
    ) -> None:
        """Put sorted rows of one file in their places."""
        if not file.is_file():
            raise BadInput(f"{file}: no such file, but {self._path} refers to its column {self._column!r}; put it back")
        if _digest(file, file.stat().st_mtime_ns, file.stat().st_size) != digest:
            raise BadInput(f"{file}: is not the file that {self._path} was drawn from; draw the task again")
        with opened(file) as node:
            data = column_of(node, self._column, file)
            if data.shape[1:] != self.shape[1:] or data.shape[0] <= rows[-1]:
                raise BadInput(f"{self._path}: column {self._column!r} does not match {file}; draw the task again")
            for part in _stretches(rows, data):
                start = int(rows[part.start])
                block = column(data, self._column, file, slice(start, int(rows[part.stop - 1]) + 1))
                found[places[part]] = block[rows[part] - start]


def _is(kind: type, value: Any) -> bool:
    """Whether an attribute's value is a text, or a whole number from 1 on."""
    return isinstance(value, str) if kind is str else type(value) is int and value > 0


def _stretches(rows: NDArray[np.int64], data: h5py.Dataset) -> Iterator[slice]:
    """Which of the sorted `rows` to read together: neighbours, and no more than `BLOCK` bytes."""
    most = max(1, BLOCK // max(1, 4 * math.prod(data.shape[1:])))
    gap = data.chunks[0] if data.chunks else GAP
    breaks = [0, *(np.flatnonzero(np.diff(rows) > gap) + 1).tolist(), len(rows)]
    for start, stop in itertools.pairwise(breaks):
        while start < stop:
            end = start + int(np.searchsorted(rows[start:stop], rows[start] + most))
            yield slice(start, end)
            start = end


@functools.lru_cache(maxsize=64)
def _digest(path: Path, modified: int, size: int) -> str:
    """A file's digest, computed once until the file changes."""
    return sha256(path)


def write(
    group: h5py.Group,
    name: str,
    numbers: NDArray[np.integer],
    shape: Sequence[int],
    files: Sequence[tuple[Path, int]],
    unit: str,
) -> None:
    """Write a column of row numbers.

    Args:
        group: an open group of the file that refers.
        name: of the column, there and in `files`.
        numbers: rows `[N]`, the files numbered through.
        shape: of one event.
        files: each with the number of its rows.
        unit: of the column.
    """
    folder = Path(os.path.realpath(group.file.filename)).parent
    data = group.create_dataset(name, data=numbers.astype(np.uint32))
    data.attrs["unit"] = unit
    data.attrs["shape"] = list(shape)
    data.attrs["files"] = [os.path.relpath(os.path.realpath(path), folder) for path, _ in files]
    data.attrs["sha256"] = [_digest(path, path.stat().st_mtime_ns, path.stat().st_size) for path, _ in files]
    data.attrs["lengths"] = [length for _, length in files]


def refers(data: h5py.Dataset) -> bool:
    """Whether a dataset holds row numbers in place of values."""
    return "files" in data.attrs and "lengths" in data.attrs

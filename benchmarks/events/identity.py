"""Who an event is: its row in its file, and columns that name it, such as run and event number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.formats import Place, opened
from sideband.benchmarks.events.formats.expressions import chunks, values
from sideband.infer.errors import BadInput


def read(
    files: Sequence[Path], expressions: Sequence[str], place: Place, rows: NDArray[np.integer] | None = None
) -> dict[str, NDArray[Any]]:
    """Columns of several files one after the other, as they are stored.

    Args:
        files: they are numbered through.
        expressions: columns, or expressions of columns.
        place: where the table is in each of them.
        rows: rising rows to take; all where None.

    Raises:
        BadInput: a column is missing, or has no single number an event.
    """
    parts: dict[str, list[NDArray[Any]]] = {each: [] for each in expressions}
    first = 0
    for path in files:
        with opened(path, place) as reader:
            for chunk in chunks(path, reader, expressions):
                size = max(map(len, chunk.values()))
                if rows is not None:
                    low, high = np.searchsorted(rows, [first, first + size])
                    chunk = {name: each[rows[low:high] - first] for name, each in chunk.items()}
                for each, found in parts.items():
                    found.append(_plain(path, each, values(path, each, chunk)))
                first += size
    return {each: np.concatenate(found) for each, found in parts.items()}


def lengths(files: Sequence[Path], names: Sequence[str], place: Place) -> list[int]:
    """How many events each file holds, before any cut."""
    found = []
    for path in files:
        with opened(path, place) as reader:
            found.append(sum(max(map(len, chunk.values())) for chunk in chunks(path, reader, names)))
    return found


def _plain(path: Path, name: str, found: Any) -> NDArray[Any]:
    if not isinstance(found, np.ndarray) or found.ndim != 1:
        raise BadInput(f"{path}: column {name!r} has several values an event; take one, as in '{name}[:, 0]'")
    return found


def check(files: Sequence[Path], names: Sequence[str], place: Place) -> None:
    """Refuse columns that do not name every event of the files; raises `BadInput` with the first that repeats."""
    columns = read(files, names, place)
    for name, each in columns.items():
        if each.dtype.kind not in "iu" and not (each == np.rint(each)).all():
            raise BadInput(f"dataset.id: column {name!r} holds other than whole numbers; choose columns that count")
    order = np.lexsort(list(columns.values()))
    same = np.ones(max(0, len(order) - 1), bool)
    for each in columns.values():
        same &= np.diff(each[order]) == 0
    if same.any():
        at = int(np.argmax(same))
        twice = sorted(order[[at, at + 1]])
        named = ", ".join(f"{name} {each[twice[0]]}" for name, each in columns.items())
        ends = np.cumsum(lengths(files, names, place))
        first, second = (_place(files, ends, int(row)) for row in twice)
        raise BadInput(f"dataset.id: {named} names {first} and {second}; add a column that tells them apart")


def _place(files: Sequence[Path], ends: NDArray[np.integer], row: int) -> str:
    """Where an event stands, in words; `ends` are the numbers of events up to the end of each file."""
    index = int(np.searchsorted(ends, row, side="right"))
    return f"row {row - (ends[index - 1] if index else 0)} of {files[index]}"


def of_data(files: Mapping[str, Path]) -> list[Path]:
    """The files of the data, from those of all parts."""
    return [path for name, path in files.items() if name.split()[0] == "data"]

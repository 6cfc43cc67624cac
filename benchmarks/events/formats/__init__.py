"""Tables of events in the formats that physicists keep; a file's content says which one it is.

One format a file: ROOT, Parquet, CSV, HDF5 with a dataset a column, and pandas' HDF5. Each gives columns in chunks, so
a file may be larger than the memory.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sideband.infer import events
from sideband.infer.damage import check_regular, kind
from sideband.infer.errors import BadInput

ROWS = 200_000  # events in a chunk
MODULES = {"HDF5": "hdf5", "pandas HDF5": "store", "ROOT": "root", "Parquet": "parquet", "CSV": "text"}

# An array of numpy or awkward, the first axis of which is events.
Chunk = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where the table of events is in a file.

    Args:
        tree: the TTree or RNTuple of a ROOT file; "" for its only one.
        group: the group of an HDF5 file, its dataset of records, or the key of a pandas store; "" for the file itself.
    """

    tree: str = ""
    group: str = ""


class Reader(Protocol):
    """An open table of events."""

    @property
    def units(self) -> Mapping[str, str]:
        """The unit of every column, "" where the file names none."""

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Some columns, in chunks of equally many events each; a missing value is NaN."""


def format_of(path: Path) -> str:
    """The format of a file by its content, a key of `MODULES`.

    Raises:
        BadInput: the file is missing, empty, or of another format.
    """
    check_regular(path)
    found = kind(path)
    if not found:
        with events.opened(path) as file:
            return "pandas HDF5" if events.is_pandas(file) else "HDF5"
    known = {"a ROOT file": "ROOT", "a Parquet file": "Parquet", "a text file": "CSV"}
    if found not in known:
        raise BadInput(f"{path}: {found}; give events as ROOT, Parquet, CSV or HDF5")
    return known[found]


@contextmanager
def opened(path: Path, place: Place = Place()) -> Iterator[Reader]:
    """Open the table of events of one file.

    Raises:
        BadInput: a format that is not read, a damaged file, no such table, or a file that changed within the block.
    """
    name = format_of(path)
    if place.tree and name != "ROOT":
        raise BadInput(f"{path}: is {name}, which has no trees; remove dataset.tree, or give a ROOT file")
    if place.group and "HDF5" not in name:
        raise BadInput(f"{path}: is {name}, which has no groups; remove dataset.group, or give an HDF5 file")
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")  # with the library that the format needs
    with unchanged([path]), module.opened(path, place) as reader:
        yield reader


@contextmanager
def unchanged(paths: Iterable[Path]) -> Iterator[None]:
    """Refuse files that are written to within the block; raises `BadInput`."""
    before = {path: _written(path) for path in paths}
    yield
    for path, then in before.items():
        if _written(path) != then:
            raise BadInput(f"{path}: changed while it was read; wait until it is written, and run again")


def _written(path: Path) -> tuple[int, int]:
    """When a file was last written, and its size."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def check_names(path: Path, names: Sequence[str], there: Sequence[str]) -> None:
    """Refuse columns that a file does not have; raises `BadInput`."""
    for name in names:
        if name not in there:
            raise BadInput(f"{path}: no column {name!r} (columns there: {events.listed(there)})")


def plain(values: Any) -> Any:
    """An array of awkward as numpy has it, unless the number of values differs from event to event."""
    if isinstance(values, np.ndarray):
        return values
    import awkward as ak

    try:
        return np.ma.filled(ak.to_numpy(values, allow_missing=True), np.nan)
    except (ValueError, TypeError):
        return values


def numbers(path: Path, name: str, values: Any) -> Any:
    """Values as numpy has them; raises `BadInput` where they are not numbers."""
    found = np.ma.filled(values.astype(float), np.nan) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    if found.dtype.kind not in "fiub":
        text = next((each for each in found.ravel().tolist() if isinstance(each, str)), None)
        what = f"{found.dtype.name} values" if text is None else f"texts, such as {text[:60]!r}"
        raise BadInput(f"{path}: column {name!r} holds {what}; events are made of numbers")
    return found

"""pandas' HDF5: a table of any columns, written by `DataFrame.to_hdf` in either of its formats."""

import io
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from sideband.benchmarks.events.formats import ROWS, Chunk, Place, check_names, numbers
from sideband.infer import events
from sideband.infer.errors import BadInput, in_one_line

# Types of attributes in a pandas store; PyTables stores truth values as bit fields.
KNOWN = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM, h5py.h5t.BITFIELD}


class _Frame:
    """A table in a store: read row by row where the store allows it, and whole where not."""

    def __init__(self, path: Path, store: Any, key: str) -> None:
        self.path, self.store, self.key = path, store, key
        self.whole = None if store.get_storer(key).is_table else _frame(path, store.get(key))
        first = _frame(path, store.select(key, stop=1)) if self.whole is None else self.whole
        self.units = dict.fromkeys(map(str, first), "")

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        check_names(self.path, names, list(self.units))
        length = self.store.get_storer(self.key).nrows if self.whole is None else len(self.whole)
        for start in range(0, length, ROWS):
            if self.whole is None:
                with _undamaged(self.path):
                    frame = _frame(self.path, self.store.select(self.key, start=start, stop=start + ROWS))
            else:
                frame = self.whole.iloc[start : start + ROWS]
            yield {name: numbers(self.path, name, frame[name].to_numpy()) for name in names}


def _frame(path: Path, found: Any) -> pd.DataFrame:
    """What was read, if it is a table, with columns that have texts for names."""
    if not isinstance(found, pd.DataFrame):
        raise BadInput(f"{path}: holds no table; write a DataFrame")
    named = found.set_axis([str(name) for name in found.columns], axis=1)
    if not named.columns.is_unique:
        raise BadInput(f"{path}: has columns of the same name; rename them")
    return named


@contextmanager
def opened(path: Path, place: Place) -> Iterator[_Frame]:
    """The table whose key is `place.group`, or the only one; raises `BadInput`."""
    check(path)
    with _undamaged(path), pd.HDFStore(path, mode="r") as store:
        keys = [key.strip("/") for key in store.keys()]  # noqa: SIM118 (iterating gives groups too)
        wanted = place.group.strip("/")
        if wanted and wanted not in keys:
            raise BadInput(f"{path}: no table {wanted!r} (there: {events.listed(keys)}); correct dataset.group")
        if not wanted and len(keys) != 1:
            raise BadInput(f"{path}: has several tables: {events.listed(keys)}; name one as dataset.group")
        reader = _Frame(path, store, wanted or keys[0])
        yield reader


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """Pandas and PyTables raise nearly anything on damaged files."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about nodes that PyTables cannot read
            yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:
        raise BadInput(f"{path}: pandas cannot read it ({in_one_line(error)}); fetch or write it again") from error


def check(path: Path) -> None:
    """Walk through a store with h5py first: PyTables crashes on many damaged files, and runs pickled code.

    Raises:
        BadInput: the file is not HDF5, is damaged, lacks some of its values, or has pickles of more than names and
            numbers.
    """
    with events.opened(path) as file:
        left: list[tuple[str, h5py.HLObject]] = [("", file)]
        groups = set()
        while left:
            name, item = left.pop()
            _check_attributes(path, name or "/", item)
            if isinstance(item, h5py.Group):
                place = h5py.h5o.get_info(item.id).addr
                if place in groups:
                    raise BadInput(f"{path}: group '{name}' is in the file twice; fetch or write it again")
                groups.add(place)
                inside = events.items(item)
                if None in inside.values():
                    raise BadInput(f"{path}: group '{name}' has links that lead nowhere; fetch or write it again")
                left += [(f"{name}/{key}", each) for key, each in inside.items()]
            elif isinstance(item, h5py.Dataset) and "/_i_table/" not in name:  # an index is neither filled nor read
                wrong = events.unstored(item)
                if wrong:
                    raise BadInput(f"{path}: '{name}' {wrong}")


def _check_attributes(path: Path, name: str, item: h5py.HLObject) -> None:
    for key in item.attrs:
        known = isinstance(key, str) and key != "PSEUDOATOM"  # names that are not UTF-8 come as bytes
        if not known or item.attrs.get_id(key).get_type().get_class() not in KNOWN or _imports(item.attrs[key]):
            raise BadInput(
                f"{path}: attribute {key!r} of {name!r} has a type that no table of numbers has: the file is "
                "damaged, or contains pickled objects, as columns of texts are; fetch it again, or write numbers alone"
            )


class _Plain(pickle.Unpickler):
    """Unpickles only names, numbers and containers of them."""

    def find_class(self, module: str, name: str) -> Any:
        raise ImportError(f"{module}.{name}")


def _imports(value: Any) -> bool:
    """Whether an attribute is a pickle that would import, and so run, code."""
    if not isinstance(value, bytes) or not value.endswith(b"."):  # PyTables unpickles nothing else
        return False
    try:
        _Plain(io.BytesIO(value)).load()
    except ImportError:
        return True
    except Exception:  # text that merely ends like a pickle fails in any way
        return False
    return False

"""ROOT: a TTree or an RNTuple, read with uproot."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from sideband.benchmarks.events.formats import ROWS, Chunk, Place, check_names, numbers, plain
from sideband.infer import events
from sideband.infer.errors import BadInput, in_one_line


class _Tree:
    def __init__(self, path: Path, tree: Any) -> None:
        self.path, self.tree = path, tree
        self.units = dict.fromkeys(tree.keys(), "")  # ROOT's branches have none

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        check_names(self.path, names, list(self.units))
        with _undamaged(self.path):
            for start in range(0, self.tree.num_entries, ROWS):
                stop = min(start + ROWS, self.tree.num_entries)
                yield {name: self._column(name, start, stop) for name in names}

    def _column(self, name: str, start: int, stop: int) -> Any:
        found = plain(self.tree[name].array(entry_start=start, entry_stop=stop, library="ak"))
        return numbers(self.path, name, found) if isinstance(found, np.ndarray) else found


@contextmanager
def opened(path: Path, place: Place) -> Iterator[_Tree]:
    """The tree that `place` names, or the only one; raises `BadInput`."""
    with _undamaged(path):
        file = uproot.open(path)
    with file:
        with _undamaged(path):
            trees = [name for name in dict.fromkeys(file.keys(cycle=False)) if _is_tree(file.classname_of(name))]
        if place.tree and place.tree not in trees:
            raise BadInput(f"{path}: no tree {place.tree!r} (there: {events.listed(trees)}); correct dataset.tree")
        if not trees:
            raise BadInput(f"{path}: holds neither a TTree nor an RNTuple")
        if not place.tree and len(trees) > 1:
            raise BadInput(f"{path}: has several trees: {events.listed(trees)}; name one as dataset.tree")
        with _undamaged(path):
            tree = _Tree(path, file[place.tree or trees[0]])
        yield tree


def _is_tree(kind: str) -> bool:
    return kind in ("TTree", "TNtuple", "TNtupleD") or kind.endswith("RNTuple")


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """Uproot raises nearly anything on damaged files."""
    try:
        with np.errstate(all="ignore"):
            yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:
        raise BadInput(
            f"{path}: ROOT cannot be read from it ({in_one_line(error)}); fetch or write it again"
        ) from error

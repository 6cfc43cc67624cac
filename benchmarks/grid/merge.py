"""Pieces of one suite, run on several machines, put together in one folder."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.owner import sole_owner
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.infer import events
from sideband.infer.errors import BadInput


def merge(pieces: Sequence[Path], into: Path) -> Suite:
    """Copy the finished cells of pieces into a folder that lacks them; what is there already stays.

    Files keep their times, so that a later run of the suite in the folder makes what is still missing, and no more.

    Args:
        pieces: folders of the same suite, on the same data.
        into: the folder; a new one takes its suite from the first piece.

    Raises:
        BadInput: a folder of another suite or of none, or a task that two folders have drawn differently.
    """
    kept = into / "suite.json"
    suite = _suite(into if kept.exists() else pieces[0])
    for piece in pieces:
        _suite(piece)
        _, keys = suite.differing(piece / "suite.json")
        if keys:
            raise BadInput(f"{piece}: its suite differs in {', '.join(keys)} from that of {into}; merge like with like")
    with sole_owner(into):
        _copy_file(pieces[0] / "suite.json", kept)
        for piece in pieces:
            copied = sum(_copy(cell, piece, into) for cell in suite.cells(shared=True))
            for window in suite.windows():
                _copy_file(piece / window / "control.json", into / window / "control.json")
            print(f"{piece}: {copied} cells taken over")
    return suite


def _suite(folder: Path) -> Suite:
    if not (folder / "suite.json").is_file():
        raise BadInput(f"{folder}: holds no suite.json; give the folder of a suite that has run, as in runs/field")
    return suites.load(folder / "suite.json")


def _copy(cell: Cell, piece: Path, into: Path) -> bool:
    """Copy a cell with its task, if it is finished in the piece and not yet in the folder."""
    last = "fit.json" if catalogue.get(cell.method).shared else "evaluation.json"
    if not (piece / cell.folder / last).exists() or (into / cell.folder / last).exists():
        return False
    ours, theirs = into / cell.task / "task.h5", piece / cell.task / "task.h5"
    if ours.exists() and events.sha256(ours) != events.sha256(theirs):
        raise BadInput(f"{ours}: was drawn otherwise than {theirs}; remove {into / cell.task}, and merge again")
    _copy_file(theirs, ours)
    place = into / cell.folder
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".merge") as new:  # whole or not at all
        shutil.copytree(piece / cell.folder, Path(new) / place.name)
        if place.exists():
            shutil.rmtree(place)
        (Path(new) / place.name).rename(place)
    return True


def _copy_file(source: Path, to: Path) -> None:
    if source.exists() and not to.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)

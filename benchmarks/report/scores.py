"""Cross-fitted scores of a search's own events, in the order of their files, beside columns that their owner knows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import identity, sources, task
from sideband.benchmarks.events.formats.expressions import Column
from sideband.benchmarks.events.own import Wanted
from sideband.benchmarks.events.task import Task
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.piece import named
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.infer import events
from sideband.infer.called import called
from sideband.infer.columns import ROW
from sideband.infer.errors import BadInput

TREE = "scores"  # of a ROOT file

Table = dict[str, NDArray[Any]]


def write(
    folder: Path,
    method: str,
    out: Path,
    place: Sequence[str | None] = (None, None, None),
    columns: Sequence[str] = (),
) -> tuple[int, list[Path]]:
    """Write the score of every event of a task's data, each by the classifier that did not see it.

    Args:
        folder: of a suite that has run, as runs/search.
        method: one with a template.
        out: the file to write; its suffix, one of `FORMATS`, says the format.
        place: window, injection and seed by name; the suite's first where None.
        columns: further columns of the events' own files, each by its name or as NAME=EXPRESSION.

    Returns:
        The number of events, and the files that the column `file` numbers, from 0 on.

    Raises:
        BadInput: no such suite, method, place or column; no cross-fitted scores there; or an unknown suffix.
    """
    kept = folder / "suite.json"
    if not kept.is_file():
        raise BadInput(f"{kept}: no such file; give the folder of a suite that has run, as in runs/search")
    if out.suffix not in FORMATS:
        raise BadInput(f"{out}: ends in none of {', '.join(FORMATS)}; its end says the format")
    suite = suites.load(kept)
    cell = _cell(suite, method, place)
    section = suite.at(cell.window)["dataset"]
    if section["source"] not in ("events", "hdf5"):
        raise BadInput(f"{kept}: its events come from '{section['source']}', not from files of yours")
    files = sources.files(section, Path())
    scores, drawn = (
        folder / cell.folder / ("data_scores.h5" if suite.labelled else "scores.h5"),
        folder / cell.task / "task.h5",
    )
    for path in (scores, drawn):
        if not path.is_file():
            raise BadInput(f"{path}: not made yet; `{called('benchmarks', 'run')}` makes it")
    events.check_output(out, [scores, drawn, *files.values()])
    the_task = task.read(drawn)
    if the_task.attributes["dataset_sha256"] != sources.identity(section, Path()):
        raise BadInput(f"{drawn}: the events' files have changed since it was drawn; run the suite again")
    parts = ("data", "signal") if the_task.labelled else ("data",)
    used = [path for name, path in files.items() if name.split()[0] in parts]
    table = _table(Wanted.of(section), used, the_task, scores, columns)
    with events.atomic(out) as temporary:
        WRITERS[out.suffix](temporary, table)
    return len(table["score"]), used


def _cell(suite: Suite, method: str, place: Sequence[str | None]) -> Cell:
    """The cell of a method; raises `BadInput` if the suite has none such with cross-fitted scores."""
    if method not in suite["methods"]:
        raise BadInput(f"method '{method}': not in suite {suite.name}; there are: {', '.join(suite['methods'])}")
    if not suite.folds:
        raise BadInput(f"suite {suite.name}: has no 'excess', so no scores are cross-fitted; add excess: {{folds: 5}}")
    if "template" not in catalogue.get(method).roles:
        raise BadInput(f"method '{method}': has no template, so nothing is cross-fitted; choose one that has")
    cell = Cell(*named(suite, *place), method)
    suite.recipe(cell.window, cell.injection, cell.seed)
    return cell


def _table(wanted: Wanted, files: Sequence[Path], the_task: Task, scores: Path, columns: Sequence[str]) -> Table:
    """The columns to write, in the order of the events' files."""
    drawn, mass = the_task.path, the_task.mass
    rows = events.whole(drawn, [ROW], "data")[ROW].astype(np.int64)
    order = np.argsort(rows)
    rows = rows[order]
    ends = np.cumsum(identity.lengths(files, [wanted.mass.expression], wanted.place))
    file = np.searchsorted(ends, rows, side="right")
    table: Table = {"file": file.astype(np.int32)} if len(files) > 1 else {}
    table["row"] = rows - np.concatenate([[0], ends])[file]
    own = dict.fromkeys([*(Column.of(name) for name in wanted.identity), *map(Column.told, columns)])
    found = identity.read(files, [column.expression for column in own], wanted.place, rows) if own else {}
    for column in own:
        if column.name in (*table, mass, "score"):
            raise BadInput(f"column '{column.name}': the file has one of that name anyway; leave it out")
        table[column.name] = found[column.expression]
    table[mass] = events.read(drawn, [mass], "data")[mass][order]
    return {**table, "score": events.read(scores, ["score"])["score"][order]}


def _parquet(path: Path, table: Table) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(table), path)


def _root(path: Path, table: Table) -> None:
    import uproot

    with uproot.recreate(path) as file:
        # Assigned, a table would become an RNTuple, which older versions of ROOT cannot read.
        file.mktree(TREE, {name: values.dtype for name, values in table.items()}).extend(table)


def _hdf5(path: Path, table: Table) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        events.write(file, table)


def _csv(path: Path, table: Table) -> None:
    import pandas as pd

    pd.DataFrame(table).to_csv(path, index=False)


WRITERS = {".parquet": _parquet, ".root": _root, ".h5": _hdf5, ".hdf5": _hdf5, ".csv": _csv}
FORMATS = tuple(WRITERS)

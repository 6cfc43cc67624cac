"""Bring MLflow up to date with a suite: final numbers, figures and files of every finished cell, models registered."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.report import records
from sideband.benchmarks.report.results import numbers_of_cells
from sideband.benchmarks.tracking.journal import JOURNAL, Record
from sideband.benchmarks.tracking.store import client, migrate, push, reason, register, tracking_uri
from sideband.infer.errors import BadInput

RECORDS = ("fit.json", "export.json", "evaluation.json", "timing_*.json", "compare_*.json")


def record(folder: Path, runs: Path) -> int:
    """Send every finished cell of a suite to MLflow, each as one finished run; what is there already is not sent again.

    Args:
        folder: the suite's folder.
        runs: the folder of all results, which holds the local store.

    Returns:
        How many cells could not be sent. If the store does not answer, one line says so. The journals stay, and the
        next call sends them.

    Raises:
        BadInput: no suite in `folder`, or a record or journal there that is damaged.
    """
    if not (folder / "suite.json").is_file():
        raise BadInput(f"{folder}: holds no suite.json; give the folder of a suite that has run, as in runs/quick")
    suite = suites.load(folder / "suite.json")
    cells = [cell for cell in suite.cells(shared=True) if _finished(folder, cell)]
    values = _values(folder, suite)
    for cell in cells:
        _note(folder, cell, suite, values[cell])
    uri = tracking_uri(runs)
    left = len(cells)
    try:
        migrate(uri)
        for cell in cells:
            run_id = push(folder / cell.folder, uri, final=True)
            for role in catalogue.get(cell.method).roles:
                tags = {**vars(cell), "suite": suite.name}
                register(client(uri), run_id, cell.method, role, _alias(suite, cell), tags)
            left -= 1
    except Exception as error:  # whatever MLflow or the network throws: the results are on disk
        print(
            f"MLflow at {uri} does not answer ({reason(error)}); {left} cells stay in their {JOURNAL} and are "
            f"sent by the next run, or by `python -m benchmarks record {folder}`",
            file=sys.stderr,
        )
    return left


def _finished(folder: Path, cell: Cell) -> bool:
    last = "fit.json" if catalogue.get(cell.method).shared else "evaluation.json"
    return (folder / cell.folder / last).exists() and (folder / cell.folder / JOURNAL).exists()


def _values(folder: Path, suite: Suite) -> Mapping[Cell, dict[str, float]]:
    """The numbers of every cell by metric, those that take several cells too, where there is one."""
    values: dict[Cell, dict[str, float]] = defaultdict(dict)
    for row in numbers_of_cells(suite, folder):
        if row["value"] == row["value"]:
            values[Cell(row["window"], row["injection"], row["seed"], row["method"])][row["metric"]] = row["value"]
    return values


def _note(folder: Path, cell: Cell, suite: Suite, values: Mapping[str, float]) -> None:
    """Put what the later stages found into the cell's journal: its numbers, timings, records, figures and graphs."""
    place = folder / cell.folder
    journal = Record.of(place)
    journal.metrics(values)
    timings = [row for path in sorted(place.glob("timing_*.json")) for row in records.read(path)]
    best: dict[str, float] = {}
    for row in timings:
        name = f"throughput.{row['role']}.{row['scope']}"
        best[name] = max(best.get(name, 0.0), row["events_per_second"])
    journal.metrics(best)
    journal.artifacts([path for pattern in RECORDS for path in sorted(place.glob(pattern))], "records")
    journal.artifacts(sorted((folder / "report" / "cells" / cell.folder).glob("*.png")), "figures")
    method = catalogue.get(cell.method)
    for role in method.roles:
        rows = [place / "source.h5"] if suite.leaves_rows(cell.method) and role == "template" else []
        journal.artifacts([place / f"{role}.onnx", place / "check.npz", *rows], role)


def _alias(suite: Suite, cell: Cell) -> str:
    return f"{suite.name}-{cell.window}-{cell.injection}-{cell.seed}"

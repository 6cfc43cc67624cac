"""Bring MLflow up to date with a suite: final numbers, figures and files of every finished cell, models registered."""

import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.report import records
from sideband.benchmarks.report.results import numbers_of_cells
from sideband.benchmarks.report.tree import Tree
from sideband.benchmarks.tracking.journal import JOURNAL, Record
from sideband.benchmarks.tracking.models import Exported, register, withdraw
from sideband.benchmarks.tracking.store import client, migrate, push, reason, tracking_uri
from sideband.infer.called import called
from sideband.infer.errors import BadInput

RECORDS = ("fit.json", "export.json", "evaluation.json", "timing_*.json", "compare_*.json")
SIC, IDEAL = "sic_1e-3", "iad"
RATIO = "ratio_to_idealised_at_1e-3"

Values = Mapping[Cell, Mapping[str, float]]


def record(folder: Path, place: Path) -> int:
    """Send every finished cell of a suite to MLflow, each as one finished run; what is there already is not sent again.

    Args:
        folder: the suite's folder.
        place: the folder of all results, which holds the local store.

    Returns:
        How many cells could not be sent. If the store does not answer, one line says so. The journals stay, and the
        next call sends them.

    Raises:
        BadInput: no suite in `folder`, or a record, journal or exported file there that is damaged.
    """
    if not (folder / "suite.json").is_file():
        raise BadInput(f"{folder}: holds no suite.json; give the folder of a suite that has run, as in runs/quick")
    suite = suites.load(folder / "suite.json")
    cells = [cell for cell in suite.cells(shared=True) if _finished(folder, cell)]
    values = _values(folder, suite)
    files: dict[Cell, list[Exported]] = {}
    for cell in cells:
        _note(folder, cell, suite, values[cell])
        roles = catalogue.get(cell.method).roles
        files[cell] = [Exported.read(folder / cell.folder, role) for role in roles]
    uri = tracking_uri(place)
    left = len(files)
    try:
        migrate(uri)
        for _ in _sent(uri, folder, suite, files, values):
            left -= 1
    except Exception as error:  # whatever MLflow or the network throws: the results are on disk
        print(
            f"MLflow at {uri} does not answer ({reason(error)}); {left} cells stay in their {JOURNAL} and are "
            f"sent by the next run, or by `{called('benchmarks', f'record {folder}')}`",
            file=sys.stderr,
        )
    return left


def _sent(
    uri: str, folder: Path, suite: Suite, files: Mapping[Cell, Sequence[Exported]], values: Values
) -> Iterator[Cell]:
    """Send cells with their models, one by one; those of the best one get a further alias."""
    store, chosen, first = client(uri), best(suite, values), "best-" + re.sub(r"[^\w-]+", "_", suite.name)
    tree = Tree(store, folder, suite, {name for found in values.values() for name in found})
    for cell, exported in files.items():
        run_id = push(folder / cell.folder, uri, final=True)
        aliases = [_alias(suite, cell), *([first] if cell == chosen else [])]
        names = {each.role: f"{cell.method}-{each.role}" for each in exported}
        tree.add(run_id, cell, {role: f"models:/{name}@{aliases[0]}" for role, name in names.items()})
        for each in exported:
            register(store, run_id, each, names[each.role], aliases, {**vars(cell), "suite": suite.name})
        yield cell
    if files:
        tree.close()
        withdraw(store, first, [f"{chosen.method}-{each.role}" for each in files.get(chosen, [])] if chosen else [])


def best(suite: Suite, values: Values) -> Cell | None:
    """The cell whose models are the best of a suite: of the method with the highest median SIC at 10⁻³.

    The median is over all cells with signal, and a method must have a SIC in each of them. Methods that read the truth
    do not count. The cell is that of the first window and seed and of the largest injection, where speed is timed too.
    Without labels there is no SIC, and no best.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for cell in suite.cells():
        if suite.injections()[cell.injection] != 0 and not catalogue.get(cell.method).truth:
            found[cell.method].append(values.get(cell, {}).get(SIC, -math.inf))
    medians = {method: median(sics) for method, sics in found.items() if min(sics) > -math.inf}
    method = max(medians, key=medians.__getitem__, default=None)
    return next((cell for cell in suite.timed() if cell.method == method), None)


def _finished(folder: Path, cell: Cell) -> bool:
    last = "fit.json" if catalogue.get(cell.method).shared else "evaluation.json"
    return (folder / cell.folder / last).exists() and (folder / cell.folder / JOURNAL).exists()


def _values(folder: Path, suite: Suite) -> Values:
    """The numbers of every cell by metric, those that take several cells too, where there is one."""
    values: dict[Cell, dict[str, float]] = defaultdict(dict)
    for row in numbers_of_cells(suite, folder):
        if row["value"] == row["value"]:
            cell = Cell(row["window"], row["injection"], row["seed"], row["method"])
            sample = f"/{row['sample']}" if row.get("sample") else ""
            values[cell][f"{row['metric']}{sample}"] = row["value"]
    for cell, found in values.items():
        ideal = values.get(replace(cell, method=IDEAL), {}).get(SIC)
        if SIC in found and ideal and suite.injections()[cell.injection] != 0:
            found[RATIO] = found[SIC] / ideal
        found |= _rates(folder / cell.folder)
    return values


def _rates(folder: Path) -> dict[str, float]:
    """The highest rate of each graph of the cell in `folder` by scope, where it was timed."""
    rates: dict[str, float] = {}
    for row in (row for path in sorted(folder.glob("timing_*.json")) for row in records.read(path)):
        name = f"throughput.{row['role']}.{row['scope']}"
        rates[name] = max(rates.get(name, 0.0), row["events_per_second"])
    return rates


def _note(folder: Path, cell: Cell, suite: Suite, values: Mapping[str, float]) -> None:
    """Put what the later stages found into the cell's journal: its numbers, records, figures and graphs."""
    place = folder / cell.folder
    journal = Record.of(place)
    journal.metrics(values)
    journal.artifacts([path for pattern in RECORDS for path in sorted(place.glob(pattern))], "records")
    journal.artifacts(sorted((folder / "report" / "cells" / cell.folder).glob("*.png")), "figures")
    method = catalogue.get(cell.method)
    for role in method.roles:
        rows = [place / "source.h5"] if suite.leaves_rows(cell.method) and role == "template" else []
        journal.artifacts([place / f"{role}.onnx", place / "check.npz", *rows], role)


def _alias(suite: Suite, cell: Cell) -> str:
    return re.sub(r"\W+", "_", f"{suite.name}-{cell.window}-{cell.injection}-{cell.seed}")

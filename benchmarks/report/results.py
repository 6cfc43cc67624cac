"""Everything a run has measured, gathered from its files into tidy tables."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems import Problem
from sideband.benchmarks.report import records
from sideband.benchmarks.report.records import row
from sideband.infer.errors import BadInput

PROVENANCE = ("code", "processor", "cores", "gpu", "system")


@dataclass(frozen=True)
class Results:
    """What a suite's folder holds.

    Args:
        suite: the suite; folder: its folder.
        numbers: one row per (task, method, metric), and per sample where a metric has several: value, low, high, note,
            provenance.
        curves: SIC curves, one row per (cell, background efficiency).
        timings: one row per throughput measurement.
        comparisons: one row per timing of torch against ONNX Runtime.
        tasks: one row per task: injected and achieved signal.
        missing: cells without an evaluation.
    """

    suite: Suite
    folder: Path
    numbers: pd.DataFrame
    curves: pd.DataFrame
    timings: pd.DataFrame
    comparisons: pd.DataFrame
    tasks: pd.DataFrame
    missing: list[Cell]

    def metric(self, name: str) -> pd.DataFrame:
        """The rows of one metric."""
        return self.numbers[self.numbers["metric"] == name]

    @cached_property
    def mass_unit(self) -> str:
        """The unit of the mass; "" where there is no task, drawn yet or left."""
        places = [] if self.tasks.empty else self.tasks[["window", "injection", "seed"]].itertuples(index=False)
        for place in places:
            path = self.folder.joinpath(*place, "task.h5")
            if path.exists():
                found = task.read(path)
                return found.units[found.mass]
        return ""

    def methods(self, rows: pd.DataFrame) -> list[str]:
        """The methods that some rows are of, in the suite's order."""
        there = set(rows["method"])
        return [name for name in self.suite["methods"] if name in there]

    @cached_property
    def unfinished(self) -> list[str]:
        """The methods that no evaluated cell is of, in the suite's order; none where nothing is evaluated yet."""
        missing = set(self.missing)
        there = {cell.method for cell in self.suite.cells() if cell not in missing}
        return [name for name in self.suite["methods"] if there and name not in there]

    def values(self, name: str, method: str, injection: str, window: str) -> dict[str, float]:
        """One metric of one method by seed, over all seeds of a window and injection."""
        rows = self.metric(name)
        rows = rows[(rows["method"] == method) & (rows["injection"] == injection) & (rows["window"] == window)]
        found = dict(zip(rows["seed"], rows["value"], strict=True))
        return {seed: float(found.get(seed, float("nan"))) for seed in self.suite.seeds(injection)}

    def at(self, window: str) -> "Results":
        """The results of one named task alone."""
        numbers, curves, tasks = (
            rows[rows["window"] == window] if len(rows) else rows for rows in (self.numbers, self.curves, self.tasks)
        )
        return replace(self, suite=self.suite.at(window), numbers=numbers, curves=curves, tasks=tasks)

    def without(self, names: Collection[str]) -> "Results":
        """The results without some of the suite's methods."""
        kept = {name: given for name, given in self.suite["methods"].items() if name not in names}
        suite = replace(self.suite, content={**self.suite.content, "methods": kept})
        timings, comparisons = (
            rows[rows["method"].isin(kept)] if len(rows) else rows for rows in (self.timings, self.comparisons)
        )
        return replace(self, suite=suite, timings=timings, comparisons=comparisons)


def gather(suite: Suite, folder: Path) -> Results:
    """Read every record in a suite's folder; a cell that is not finished is listed as missing.

    Raises:
        BadInput: a record is truncated, or not as a step has written it.
    """
    curves: list[dict[str, Any]] = []
    missing = []
    for cell in suite.cells(shared=True):
        here = {"suite": suite.name, **vars(cell)}
        place = folder / cell.folder
        _load(place / "export.json")  # so that whoever makes a table of it need not check it again
        evaluation = _load(place / "evaluation.json", suite.problem)
        if evaluation is not None:
            for efficiency, value in zip(sic.GRID, (evaluation.get("sic") or {}).get("curve", []), strict=False):
                curves.append(here | {"background_efficiency": efficiency, "sic": value})
        elif not catalogue.get(cell.method).shared:
            missing.append(cell)
    numbers = [*numbers_of_cells(suite, folder), *_controls(suite, folder)]
    timings = [found for cell in suite.timed() for found in _rows(folder, cell, "timing")]
    comparisons = [found for cell in suite.timed() for found in _rows(folder, cell, "compare")]
    columns = ["suite", "window", "injection", "seed", "method"]
    tasks = list(_tasks(suite, folder))
    return Results(
        suite,
        folder,
        pd.DataFrame(numbers, columns=[*columns, "sample", "metric", "value", "low", "high", "note", *PROVENANCE]),
        pd.DataFrame(curves, columns=[*columns, "background_efficiency", "sic"]),
        pd.DataFrame(timings),
        pd.DataFrame(comparisons),
        pd.DataFrame(tasks, columns=None if tasks else columns[1:4]),
        missing,
    )


def numbers_of_cells(suite: Suite, folder: Path) -> list[dict[str, Any]]:
    """What all cells of a suite have measured, alone and together, one row a metric with its place in the grid."""
    numbers = [
        {"suite": suite.name, **vars(cell), **found}
        for cell in suite.cells(shared=True)
        for found in numbers_of_cell(folder / cell.folder, suite.problem)
    ]
    return [*numbers, *suite.problem.across(suite, numbers)]


def numbers_of_cell(folder: Path, problem: Problem) -> list[dict[str, Any]]:
    """What fit and evaluation of the cell in `folder` have measured, one row a metric, so far as there is any."""
    fit, evaluation = _load(folder / "fit.json"), _load(folder / "evaluation.json", problem)
    rows = [found | _provenance(fit) for found in _of_fit(fit)] if fit else []
    return rows + ([found | _provenance(evaluation) for found in problem.rows(evaluation)] if evaluation else [])


def _load(path: Path, problem: Problem | None = None) -> Any:
    return records.read(path, problem.evaluation if problem else None) if path.exists() else None


def _controls(suite: Suite, folder: Path) -> Iterator[dict[str, Any]]:
    for window in suite.windows():
        control = _load(folder / window / "control.json")
        for name in ("floor", "sidebands"):
            if control is not None and control[name] is not None:
                found = control[name]
                closed = row(f"closure_{name}", found["auc"], found["error"], f"{found['events']} events a side")
                yield {"suite": suite.name, "window": window} | closed | _provenance(control)


def _rows(folder: Path, cell: Cell, kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / cell.folder).glob(f"{kind}_*.json")):
        for found in records.read(path):
            if found["method"] != cell.method:
                raise BadInput(f"{path}: is of method '{found['method']}'; remove the file, and run the suite again")
            yield found


def _provenance(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record.get(key) for key in PROVENANCE}


def _of_fit(fit: dict[str, Any]) -> Iterator[dict[str, Any]]:
    note = f"{fit['device']}, {fit['threads']} thread{'s' * (fit['threads'] != 1)}"
    yield row("fit_seconds", fit["seconds"], note=note)
    yield row("fit_cpu_seconds", fit["cpu_seconds"], note=note)
    model = sum(inner.get("cpu_seconds", 0.0) for inner in fit["fits"].values())
    yield row("model_cpu_seconds", model, note=f"{note}; the background model alone")
    yield row("peak_memory_mib", fit["peak_memory_mib"], note=note)
    for name, inner in fit["fits"].items():
        yield row("training_events_per_second", inner["events_per_second"], note=f"{name}, {inner['steps']} steps")
        if inner.get("converged") is not None:
            yield row("converged", float(inner["converged"]), note=f"{name}: 1 if it did")
    for role, count in fit["outside_fitted_range"].items():
        yield row(f"outside_fitted_range_{role}", count, note="signal-region data that are clamped")
    if "background_events" in fit:
        yield row("background_events", fit["background_events"], note="true background that a reference was given")
    if "signal_fraction" in fit:
        note = f"{fit['members_kept']} members kept"
        yield row("fitted_signal_fraction", fit["signal_fraction"], note=note)
        yield row("signal_found", float(fit["found"]), note="1 if the fit found a signal, by events that it held out")
    if "interval" in fit:
        found = fit["interval"]
        ends = {"low": found["low"], "high": found["high"]}
        yield row("signal_interval", found["fraction"], note="95 % interval of the signal fraction") | ends


def _tasks(suite: Suite, folder: Path) -> Iterator[dict[str, Any]]:
    for window in suite.windows():
        for injection in suite.injections():
            for seed in suite.seeds(injection):
                path = folder / window / injection / seed / "task.h5"
                if path.exists():
                    attributes = task.read(path).attributes
                    yield {**attributes, "window": window, "injection": injection, "seed": seed}

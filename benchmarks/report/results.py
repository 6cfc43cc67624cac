"""Everything a run has measured, gathered from its files into tidy tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.report import records
from sideband.infer.errors import BadInput

PROVENANCE = ("code", "processor", "cores", "gpu", "system")


@dataclass(frozen=True)
class Results:
    """What a suite's folder holds.

    Args:
        suite: the suite; folder: its folder.
        numbers: one row per (task, method, metric), of showers one per sample of decays too: value, low, high, note,
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

    @property
    def mass_unit(self) -> str:
        """The unit of the mass; "" while no task is drawn."""
        if self.tasks.empty:
            return ""
        row = self.tasks.iloc[0]
        found = task.read(self.folder / row["window"] / row["injection"] / row["seed"] / "task.h5")
        return found.units[found.mass]

    def methods(self, rows: pd.DataFrame) -> list[str]:
        """The methods that some rows are of, in the suite's order."""
        there = set(rows["method"])
        return [name for name in self.suite["methods"] if name in there]

    def values(self, name: str, method: str, injection: str, window: str) -> dict[str, float]:
        """One metric of one method by seed, over all seeds of a window and injection."""
        rows = self.metric(name)
        rows = rows[(rows["method"] == method) & (rows["injection"] == injection) & (rows["window"] == window)]
        found = dict(zip(rows["seed"], rows["value"], strict=True))
        return {seed: float(found.get(seed, float("nan"))) for seed in self.suite.seeds(injection)}


def gather(suite: Suite, folder: Path) -> Results:
    """Read every record in a suite's folder; a cell that is not finished is listed as missing.

    Raises:
        BadInput: a record is truncated, or not as a step has written it.
    """
    numbers: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    missing = []
    for cell in suite.cells(shared=True):
        here = {"suite": suite.name, **vars(cell)}
        numbers += [here | row for row in numbers_of_cell(folder / cell.folder)]
        _load(folder / cell.folder / "export.json")  # of which tables of showers are made
        evaluation = _load(folder / cell.folder / "evaluation.json")
        if evaluation is not None:
            for efficiency, value in zip(sic.GRID, (evaluation["sic"] or {}).get("curve", []), strict=False):
                curves.append(here | {"background_efficiency": efficiency, "sic": value})
        elif not catalogue.get(cell.method).shared:
            missing.append(cell)
    for window in suite.windows():
        control = _load(folder / window / "control.json")
        for name in ("floor", "sidebands"):
            if control is not None and control[name] is not None:
                found = control[name]
                row = _row(f"closure_{name}", found["auc"], found["error"], f"{found['events']} events a side")
                numbers.append({"suite": suite.name, "window": window} | row | _provenance(control))
    timings = [row for cell in suite.timed() for row in _rows(folder, cell, "timing")]
    comparisons = [row for cell in suite.timed() for row in _rows(folder, cell, "compare")]
    place = ["suite", "window", "injection", "seed", "method"]
    columns = [*place, "sample", "metric", "value", "low", "high", "note", *PROVENANCE]
    tasks = list(_tasks(suite, folder))
    return Results(
        suite,
        folder,
        pd.DataFrame(numbers, columns=columns),
        pd.DataFrame(curves, columns=[*place, "background_efficiency", "sic"]),
        pd.DataFrame(timings),
        pd.DataFrame(comparisons),
        pd.DataFrame(tasks, columns=None if tasks else place[1:4]),
        missing,
    )


def numbers_of_cell(folder: Path) -> list[dict[str, Any]]:
    """What fit and evaluation of the cell in `folder` have measured, one row a metric, so far as there is any."""
    fit, evaluation = _load(folder / "fit.json"), _load(folder / "evaluation.json")
    rows = [row | _provenance(fit) for row in _of_fit(fit)] if fit else []
    return rows + ([row | _provenance(evaluation) for row in _of_evaluation(evaluation)] if evaluation else [])


def _load(path: Path) -> Any:
    return records.read(path) if path.exists() else None


def _rows(folder: Path, cell: Cell, kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / cell.folder).glob(f"{kind}_*.json")):
        for row in records.read(path):
            if row["method"] != cell.method:
                raise BadInput(f"{path}: is of method '{row['method']}'; remove the file, and run the suite again")
            yield row


def _row(metric: str, value: float | None, error: float = 0.0, note: str = "") -> dict[str, Any]:
    value = float("nan") if value is None else value
    return {"metric": metric, "value": value, "low": value - error, "high": value + error, "note": note}


def _provenance(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record.get(key) for key in PROVENANCE}


def _of_fit(fit: dict[str, Any]) -> Iterator[dict[str, Any]]:
    note = f"{fit['device']}, {fit['threads']} threads"
    yield _row("fit_seconds", fit["seconds"], note=note)
    yield _row("fit_cpu_seconds", fit["cpu_seconds"], note=note)
    model = sum(inner.get("cpu_seconds", 0.0) for inner in fit["fits"].values())
    yield _row("model_cpu_seconds", model, note=f"{note}; the background model alone")
    yield _row("peak_memory_mib", fit["peak_memory_mib"], note=note)
    for name, inner in fit["fits"].items():
        yield _row("training_events_per_second", inner["events_per_second"], note=f"{name}, {inner['epochs']} epochs")
    for role, count in fit["outside_fitted_range"].items():
        yield _row(f"outside_fitted_range_{role}", count, note="signal-region data that are clamped")
    if "signal_fraction" in fit:
        yield _row("fitted_signal_fraction", fit["signal_fraction"], note=f"{fit['members_kept']} members kept")


def _of_evaluation(evaluation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = evaluation["sic"]
    if found is not None:
        note = f"{found['n_background']} test background events; spread: Poisson bootstrap"
        yield _row("sic_1e-3", found["sic"], found["sic_spread"], note)
        at = f"at background efficiency {found['maximum_at']:.2g}; {note}"
        yield _row("max_sic", found["maximum"], found["maximum_spread"], at)
        yield _row("auc", found["auc"], note="signal against background")
    closed = evaluation["closure"]
    if closed is not None:
        yield _row("closure_auc", closed["auc"], closed["error"], f"{closed['events']} events a side")
    grown = evaluation.get("signal_like")
    if grown is not None:
        note = f"{grown['events']} template events that were signal, against background"
        yield _row("signal_like_auc", grown["auc"], grown["error"], note)
    shape = evaluation.get("closure_shape")
    if shape is not None:
        yield _row("closure_shape_auc", shape["auc"], shape["error"], f"{shape['events']} events a side")
    for sample in evaluation.get("samples", []):
        for key in ("auc", "matched_auc", "max_sic", "matched_max_sic"):
            yield _row(f"shower_{key}", sample[key], note=f"{sample['events']} decays") | {"sample": sample["name"]}
        for key in ("", "matched_"):
            at = f"at background efficiency {sample[f'{key}achieved']:.3g}"
            yield _row(f"shower_{key}sic", sample[f"{key}sic"], note=at) | {"sample": sample["name"]}
    for item in evaluation["excess"] or []:
        note = f"observed {item['observed']}, expected {item['expected']:.1f} +- {item['error']:.1f}"
        yield _row(f"excess_{item['efficiency']:g}", item["significance"], note=note)


def _tasks(suite: Suite, folder: Path) -> Iterator[dict[str, Any]]:
    for window in suite.windows():
        for injection in suite.injections():
            for seed in suite.seeds(injection):
                path = folder / window / injection / seed / "task.h5"
                if path.exists():
                    told = task.read(path).attributes
                    yield {**told, "window": window, "injection": injection, "seed": seed}

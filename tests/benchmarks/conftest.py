"""Finished runs with made-up numbers, so that tables and figures can be held against what went in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from sideband.benchmarks.events import task
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.metrics import sculpting, sic
from sideband.benchmarks.problems.search import draw
from sideband.infer import events, provenance
from tests.conftest import OWN


def fit_record(seconds: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "cpu_seconds": 2 * seconds,
        "peak_memory_mib": 300.0,
        "device": "cpu",
        "threads": 1,
        "fits": {"flow": {"events_per_second": 5e4, "steps": 3}},
        "outside_fitted_range": {"template": 2, "score": 1},
        **provenance.record(),
    }


def timing_rows(method: str, role: str, rate: float) -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "role": role,
            "scope": scope,
            "batch": batch,
            "threads": threads,
            "provider": "CPUExecutionProvider",
            "events_per_second": rate * threads * (1 + batch / 1000),
            "p10": rate * threads * 0.9,
            "p90": rate * threads * 3,
            "total_seconds": 1.0,
            "seconds_asked": 0.5,
            "fraction_of_matmul": None if role == "score" else 0.1,
        }
        for scope in ("graph", "host", "file")
        for batch in (100, 1000)
        for threads in (1, 2)
    ]


def evaluation(labelled: bool, template: bool, closed: bool, value: float) -> dict[str, Any]:
    record: dict[str, Any] = {"sic": None, "closure": None, "excess": None, "clamped_fraction": 0.0}
    if labelled:
        record["sic"] = {
            "sic": value,
            "sic_spread": 0.5,
            "maximum": 2 * value,
            "maximum_spread": 0.5,
            "maximum_at": 0.004,
            "auc": 0.9,
            "curve": [float("nan")] * 20 + (value * np.sqrt(sic.GRID[20:])).tolist(),
            "n_background": 40_000,
        }
        number = len(sculpting.EFFICIENCIES)
        record["sculpting"] = {
            "efficiencies": list(sculpting.EFFICIENCIES),
            "selected": [1000] * number,
            "bins": [300] * (number - 1) + [0],
            "chi2": [value] * (number - 1) + [float("nan")],
            "random": [1.0] * (number - 1) + [float("nan")],
            "edges": np.linspace(2.3, 5.0, sculpting.SHOWN_BINS + 1).tolist(),
            "before": [100.0] * sculpting.SHOWN_BINS,
            "after": [10.0] * sculpting.SHOWN_BINS,
        }
    elif template:
        record["excess"] = [
            {"efficiency": 0.01, "observed": 12, "expected": 10.0, "error": 2.0, "significance": value},
            {"efficiency": 0.001, "observed": 2, "expected": 1.0, "error": 0.5, "significance": -value},
        ]
        spectrum = {"observed": [40, 12, 0], "expected": [0.0, 10.0, 0.0], "error": [0.0, 2.0, 0.0]}
        cuts = [{"efficiency": efficiency} | spectrum for efficiency in (1.0, 0.01)]
        record["spectra"] = {"edges": [2900.0, 3300.0, 3700.0, 4100.0], "cuts": cuts}
    if template and closed:
        record["closure"] = {"auc": 0.51, "error": 0.003, "events": 2000, "weights": [[50] * 40, [50] * 40]}
    return record | provenance.record()


def finish(suite: suites.Suite, folder: Path, values: dict[str, float]) -> None:
    """Everything that a suite's stages leave behind, with `values` of SIC or Z by method."""
    suite.save(folder / "suite.json")
    for cell in suite.cells(shared=True):
        place = folder / cell.folder
        events.write_json(place / "fit.json", fit_record(20.0 if cell.method == "sideband" else 10.0))
        if cell.method in suite.shared():
            continue
        template = cell.method == "cathode"
        closed = suite.labelled or cell.window != next(iter(suite.windows()))  # where the background is known
        record = evaluation(suite.labelled, template, closed, values[cell.method])
        events.write_json(place / "evaluation.json", record)
        if template:
            the_task = task.read(folder / cell.task / "task.h5")
            data = the_task.events("data")
            made = data[the_task.inside(data)]
            with events.atomic(place / "template.h5") as temporary, h5py.File(temporary, "w") as file:
                events.write(file, made.columns(the_task.mass, the_task.features), the_task.units)
    for cell in suite.timed():
        for role in ("template", "score") if cell.method == "cathode" else ("score",):
            events.write_json(
                folder / cell.folder / f"timing_{role}.json",
                timing_rows(cell.method, role, 1e5 if role == "template" else 1e6),
            )
    engines = ("onnxruntime", 2e5), ("torch eager", 1e5)
    rows = [
        {"method": "cathode", "role": "template", "engine": engine, "batch": batch, "threads": threads, "parity": 0.3}
        | {"events_per_second": rate * threads}
        for engine, rate in engines
        for batch in (100, 1000)
        for threads in (1, 2)
    ]
    missing = {"method": "cathode", "role": "template", "engine": "torch.compile", "batch": 100, "threads": 1}
    events.write_json(
        folder / suite.timed()[0].folder / "compare_template.json",
        [*rows, missing | {"missing": "no compiler", "parity": 0.3}],
    )
    for window in suite.windows():
        control = {
            "floor": {"auc": 0.501, "error": 0.002, "events": 2000},
            "sidebands": {"auc": 0.6, "error": 0.002, "events": 2000},
        }
        if not suite.labelled and window == next(iter(suite.windows())):
            control = dict.fromkeys(control)
        events.write_json(folder / window / "control.json", control | provenance.record())


Run = tuple[suites.Suite, Path]


@pytest.fixture(scope="session")
def labelled_run(small_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One window, one injection, one draw; CATHODE, ANODE and the idealised detector."""
    folder = tmp_path_factory.mktemp("labelled")
    content = {
        "about": "made-up numbers",
        "dataset": {"source": "dijets"},
        "mass_range": [2.3, 5.0],
        "windows": [[3.3, 3.7]],
        "injections": [600],
        "seeds": [1],
        "methods": {"cathode": {}, "anode": {}, "iad": {}},
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    suite = suites.load(folder / "toy.yaml")
    place = folder / "runs" / "3.3-3.7" / "n600" / "s1"
    place.mkdir(parents=True)
    shutil.copy(small_task, place / "task.h5")
    finish(suite, folder / "runs", {"cathode": 6.0, "anode": 2.0, "iad": 8.0})
    return suite, folder / "runs"


@pytest.fixture(scope="session")
def unlabelled_run(toy_events: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Events of one's own: a signal region and a validation window; CATHODE and ANODE."""
    folder = tmp_path_factory.mktemp("unlabelled")
    toy_events(folder / "own.h5", 12_000)
    content = {
        "about": "made-up numbers",
        "dataset": OWN | {"mass": {"column": "m_vis"}},
        "mass_range": [2000, 6000],
        "windows": [[3300, 3700]],
        "validation_windows": [[2700, 3100]],
        "seeds": [1],
        "excess": {"folds": 2},
        "methods": {"cathode": {}, "anode": {}},
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    suite = suites.load(folder / "own.yaml")
    for window in suite.windows():
        path = folder / "runs" / window / "observed" / "s1" / "task.h5"
        draw.make(suite.dataset(), suite.recipe(window, "observed", "s1"), path)
    finish(suite, folder / "runs", {"cathode": 1.5, "anode": 0.5})
    return suite, folder / "runs"

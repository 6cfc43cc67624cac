"""Sections on signal strength, settings and windows, from numbers made up here."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sideband.benchmarks.grid.suite import DEFAULTS, Suite
from sideband.benchmarks.problems.search import closure, studies
from sideband.benchmarks.report import cost
from sideband.benchmarks.report.content import Picture, Table
from sideband.benchmarks.report.results import Results
from sideband.infer import events
from tests.benchmarks.readable import assert_readable

WINDOWS = [[3.1, 3.5], [3.2, 3.6], [3.3, 3.7], [3.4, 3.8]]


def results(
    rows: Iterable[dict[str, Any]], content: dict[str, Any], folder: Path = Path(), signal: float = 100.0
) -> Results:
    """Results of a suite that hold given numbers; tasks with as much signal as is injected, on 2,500 background."""
    base = {**DEFAULTS, "dataset": {"source": "dijets"}, "mass_range": [2.3, 5.0]}
    base |= {"windows": WINDOWS[:1], "injections": [100], "seeds": [1]}
    suite = Suite("toy", {**base, **content})
    tasks = [
        {"window": window, "injection": injection, "seed": seed, "mass": "m_jj", "signal_in_window": number}
        | {"significance": (number or 0) / 50}
        for window in suite.windows()
        for injection, number in suite.injections().items()
        for seed in suite.seeds(injection)
    ]
    place = {"window": "3.1-3.5", "injection": "n100", "seed": "s1", "low": 0.0, "high": 0.0, "note": ""}
    numbers = pd.DataFrame([place | row for row in rows])
    return Results(suite, folder, numbers, pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), pd.DataFrame(tasks), [])


def test_the_entries_of_a_study_are_those_that_set_what_it_varies() -> None:
    methods = {
        "drapes": {},
        "drapes_sb@1": {"noise": 1.0},
        "drapes_sb@5": {"noise": 5.0},
        "drapes_mc@1": {"noise": 1},
        "drapes@8": {"steps": 8},
        "sigma@4": {"steps": 4, "anchor_margin": 0.1},
        "iad": {},
    }
    content = {"methods": methods, "studies": [{"vary": "noise", "of": ["drapes_sb", "drapes_mc"]}]}
    (study,) = results([], content).suite.studies
    assert study.entries(methods) == {
        "drapes_sb": {"drapes_sb@1": 1.0, "drapes_sb@5": 5.0},
        "drapes_mc": {"drapes_mc@1": 1.0},
    }


def test_the_table_of_a_varied_setting_holds_its_numbers() -> None:
    methods = {"drapes": {}, "drapes_sr@5": {"noise": 5.0}, "drapes_sr@1": {"noise": 1.0}}
    content = {"methods": methods, "studies": [{"vary": "noise", "of": ["drapes_sr"]}]}
    rows = [
        {"method": name, "metric": metric, "value": value}
        for name, value in (("drapes", 0.52), ("drapes_sr@1", 0.53), ("drapes_sr@5", 0.54))
        for metric in ("closure_auc", "signal_like_auc")
        if (name, metric) != ("drapes", "signal_like_auc")
    ]
    ((heading, _, (drawn, table)),) = studies.sections(results(rows, content))
    assert heading == "DRAPES Φ: noise"
    assert isinstance(drawn, Picture)
    assert isinstance(table, Table)
    assert table.rows == [
        ["DRAPES SR", "1", "0.5300", "n/a", "n/a", "0.530"],
        ["DRAPES SR", "5", "0.5400", "n/a", "n/a", "0.540"],
        ["DRAPES Φ", "usual", "0.5200", "n/a", "n/a", "n/a"],
    ]
    # What is named beside is shown beside, whatever its file, in the draws of what varies.
    beside = {**methods, "iad": {}, "drapes_one": {}}
    named = {"vary": "noise", "of": ["drapes_sr"], "beside": ["drapes_one"]}
    student = {"method": "drapes_one", "metric": "closure_auc"}
    rows += [student | {"value": 0.55}, student | {"seed": "s2", "value": 0.6}]
    ((_, _, (_, table)),) = studies.sections(results(rows, {"methods": beside, "studies": [named], "seeds": [1, 2]}))
    assert isinstance(table, Table)
    assert table.rows[3] == ["DRAPES Φ, one step", "usual", "0.5500", "n/a", "n/a", "n/a"]
    # Nothing measured is no section.
    assert list(studies.sections(results([{"metric": "auc", "method": "iad", "value": 1}], content))) == []


def test_varied_entries_are_left_out_of_the_rest() -> None:
    methods = {"cathode": {}, "sigma@4": {"steps": 4}, "sigma@8": {"steps": 8}, "iad@x": {}}
    found = results([], {"methods": methods, "studies": [{"vary": "steps", "of": ["sigma"]}]})
    assert list(found.without(found.suite.set_apart()).suite["methods"]) == ["cathode", "iad@x"]


SCAN = {
    "windows": WINDOWS,
    "injections": [100, 0],
    "background_seeds": [1, 2],
    "methods": {"cathode": {}, "transit": {}, "sigma": {}, "iad": {}},
    "studies": [{"vary": "windows"}],
}


def scan_rows() -> list[dict[str, Any]]:
    model = {"sideband": 10.0, "cathode": 0.0, "transit": 20.0, "matching": 90.0, "sigma": 0.0, "iad": 0.0}
    whole = {"sideband": 12.0, "cathode": 7.0, "transit": 26.0, "matching": 95.0, "sigma": 8.0, "iad": 5.0}
    rows = [
        {"method": name, "metric": metric, "value": value}
        for metric, values in (("model_cpu_seconds", model), ("fit_cpu_seconds", whole))
        for name, value in values.items()
    ]
    for place, window in enumerate(["3.1-3.5", "3.2-3.6", "3.3-3.7", "3.4-3.8"]):
        here = {"method": "sigma", "metric": "z_direct_1e-2", "window": window}
        rows.append(here | {"injection": "n100", "value": 6.0 - abs(place - 2)})
        rows += [here | {"injection": "n0", "seed": f"s{seed}", "value": (-1) ** seed * place} for seed in (1, 2)]
    return rows


def test_a_fit_to_all_the_data_is_paid_once() -> None:
    costs = cost.costs(results(scan_rows(), SCAN))
    assert costs == {
        "cathode": cost.Cost(0.0, 12.0, 7.0),
        "transit": cost.Cost(0.0, 20.0, 6.0),
        "sigma": cost.Cost(95.0, 0.0, 8.0),
        "iad": cost.Cost(0.0, 0.0, 5.0),
    }
    assert [found.training(9) for found in costs.values()] == [108.0, 180.0, 95.0, 0.0]
    assert [found.whole(10) for found in costs.values()] == [190.0, 260.0, 175.0, 50.0]


def test_of_a_method_that_another_builds_on_the_model_counts() -> None:
    methods = {"cathode": {}, "refined": {"of": "cathode"}}
    rows = [
        *scan_rows()[:12],
        *({"method": "refined", "metric": f"{what}_cpu_seconds", "value": 3.0} for what in ("model", "fit")),
        {"method": "cathode", "metric": "model_cpu_seconds", "value": 1.0},
    ]
    rows = [row for row in rows if (row["method"], row["metric"], row["value"]) != ("cathode", "model_cpu_seconds", 0)]
    costs = cost.costs(results(rows, SCAN | {"methods": methods}))
    assert costs["cathode"] == cost.Cost(0.0, 13.0, 6.0)
    assert costs["refined"] == cost.Cost(0.0, 16.0, 0.0)


def test_the_section_of_a_scan(tmp_path: Path, small_task: Path) -> None:
    place = tmp_path / "3.1-3.5" / "n100" / "s1"
    place.mkdir(parents=True)
    (place / "task.h5").symlink_to(small_task)
    ((heading, text, content),) = studies.sections(results(scan_rows(), SCAN, tmp_path))
    assert heading == "Scan"
    assert text.startswith("4 overlapping windows")
    assert isinstance(content[0], Picture)
    assert_readable(content[:1])
    trained, extremes = (part for part in content if isinstance(part, Table))
    assert trained.rows[2] == ["SIGMA", "95.0", "0.00", "95.0", "0.25", "32.0"]
    assert "statistical errors only; may be all template" in extremes.caption
    (row,) = extremes.rows
    assert row[:4] == ["SIGMA", "0.01", "3.00", "2 of 8"]
    assert row[4].startswith("+0.00 ± ")
    assert row[5] == "3.3–3.7 TeV (Z = 6.00, 100 injected over all masses)"


def test_strengths_rise_with_what_was_achieved() -> None:
    rows = [
        {"method": "iad", "metric": metric, "injection": f"n{number}", "value": number / 10}
        for number in (40, 160, 80)
        for metric in ("sic_1e-3", "max_sic")
    ]
    found = results(rows, {"injections": [160, 40, 80, 0], "methods": {"iad": {}}, "studies": [{"vary": "injections"}]})
    ((heading, _, (drawn,)),) = studies.sections(found)
    assert heading == "Signal strength"
    assert isinstance(drawn, Picture)
    (line, *_) = drawn.figure.axes[0].lines
    assert list(line.get_xdata()) == [0.8, 1.6, 3.2]
    assert list(line.get_ydata()) == [4.0, 8.0, 16.0]
    assert_readable([drawn])


@pytest.mark.parametrize("closed", [True, False])
def test_weights_are_drawn_for_every_template(tmp_path: Path, closed: bool) -> None:
    found = results([], {"methods": {"cathode": {}, "iad": {}}}, tmp_path)
    counts = np.zeros(40, int)
    counts[20] = 50
    record = {"events": 50, "weights": [counts.tolist(), counts.tolist()]}
    for name in ("cathode", "iad"):
        path = tmp_path / "3.1-3.5" / "n100" / "s1" / name / "evaluation.json"
        events.write_json(path, {"closure": record if closed and name == "cathode" else None})
    drawn = closure.weights(found, "3.1-3.5", "n100")
    if not closed:
        assert drawn is None
        return
    assert drawn is not None
    (steps,) = drawn.axes[0].patches
    assert steps.get_data().values.max() == 1.0


@pytest.mark.parametrize("content", [SCAN, {"injections": [160, 40, 80], "methods": {"iad": {}}}])
def test_nothing_drawn_yet_is_no_section(content: dict[str, Any]) -> None:
    found = replace(results([{"method": "iad", "metric": "auc", "value": 1.0}], content), tasks=pd.DataFrame())
    assert list(studies.sections(found)) == []

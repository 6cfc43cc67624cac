"""Suites of named tasks: what they expand to, their mistakes, and the section that compares them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sideband.benchmarks.events import task
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.problems.search import studies
from sideband.benchmarks.problems.search.studies import tasks
from sideband.benchmarks.report.content import Picture, Table
from sideband.benchmarks.report.results import Results
from sideband.infer.errors import BadInput
from tests.benchmarks.plain import written
from tests.benchmarks.readable import assert_readable
from tests.benchmarks.test_sample import sample

TASKS: dict[str, Any] = {
    "alike": None,
    "noisy": {"dataset": {"noise": 2}, "data_events": 9000},
    "pairs": {
        "dataset": {"source": "dimuons", "events": 4000, "features": ["pt"]},
        "mass_range": [20, 60],
        "window": [32, 36],
        "injections": [100],
    },
}
SUITE: dict[str, Any] = {
    "windows": [[3.3, 3.7]],
    "injections": [500, 0],
    "seeds": [1],
    "data_events": 8000,
    "tasks": TASKS,
    "studies": [{"vary": "tasks"}],
    "methods": {"cathode": {}, "sigma": {}, "iad": {}},
}


def test_named_tasks_are_places_in_the_grid(tmp_path: Path) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml", **SUITE))
    assert suite.windows() == {"alike": (3.3, 3.7), "noisy": (3.3, 3.7), "pairs": (32, 36)}
    assert suite.injections() == {"n500": 500, "n0": 0, "n100": 100}
    places = list(dict.fromkeys(cell.task for cell in suite.cells(shared=True)))
    assert places == ["alike/n500/s1", "alike/n0/s1", "noisy/n500/s1", "noisy/n0/s1", "pairs/n100/s1"]
    # A fit to all the data serves every window of one task, and no other task.
    assert sum(cell.method == "matching" for cell in suite.cells(shared=True)) == 5
    assert {cell.task for cell in suite.timed()} == {"alike/n500/s1"}
    noisy = suite.at("noisy")
    assert (noisy["dataset"], noisy["data_events"]) == ({"source": "dijets", "noise": 2}, 9000)
    assert (list(noisy.windows()), noisy.injections()) == (["noisy"], {"n500": 500, "n0": 0})
    recipe = suite.recipe("pairs", "n100", "s1")
    assert (recipe.mass_range, recipe.window, recipe.injection, recipe.data_events) == ((20, 60), (32, 36), 100, None)
    digests = [suite.at(name).dataset_sha256 for name in suite.windows()]
    assert len({*digests, suite.dataset_sha256}) == 4
    usual = suites.load(written(tmp_path / "usual.yaml"))
    assert usual.at("3.3-3.7") is usual


def test_each_task_is_drawn_from_its_own_events(tmp_path: Path) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml", **SUITE))
    suite.draw("pairs", "n100", "s1", tmp_path / "task.h5")
    found = task.read(tmp_path / "task.h5")
    assert (list(found.features), found.units["pt"]) == (["pt"], "GeV")
    assert found.attributes["injection"] == 100


def test_a_run_keeps_named_tasks(tmp_path: Path) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml", **SUITE))
    suite.save(tmp_path / "suite.json")
    assert suites.load(tmp_path / "suite.json").content == suite.content
    assert suite.differing(tmp_path / "suite.json")[1] == []
    louder = {**SUITE, "tasks": {**TASKS, "noisy": {"dataset": {"noise": 3}, "data_events": 9000}}}
    other = suites.load(written(tmp_path / "mine.yaml", **louder))
    assert other.differing(tmp_path / "suite.json")[1] == ["dataset"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": [[3.3, 3.7], [3.1, 3.5]]}, "tasks: each has one window, its own or the suite's only one"),
        ({"injections": ...}, "injections: missing; tasks are compared by what is found of an injected signal"),
        ({"tasks": {"a": {"window": [5.5, 6]}}, "studies": []}, r"tasks\.a: window \[5\.5, 6\] does not lie inside"),
        ({"tasks": {"a": {"dataset": {"nose": 1}}}, "studies": []}, r"tasks\.a: dataset: .*'nose' was unexpected"),
        ({"tasks": {"a": {"seeds": [1]}}}, r"tasks\.a: Additional properties are not allowed \('seeds'"),
        ({"tasks": {"a b": {}}}, "does not match"),
        ({"tasks": {"a": {}}}, r"studies\.0: varies tasks, and the suite has one"),
        ({"tasks": {"a": {"dataset": {"source": "showers"}}}, "studies": []}, "dataset.source is 'showers'"),
    ],
)
def test_mistakes_in_named_tasks(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        suites.load(written(tmp_path / "mine.yaml", **SUITE | changes))


def test_a_sample_takes_the_place_of_the_dijets_of_every_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sample(tmp_path / "mine", {"data": 10_000, "signal": 1000, "simulation": 500})
    chosen = {**TASKS, "other": {"dataset": {"resonance": "heavy"}}}
    found = suites.load(written(tmp_path / "toy.yaml", **SUITE | {"tasks": chosen}), sample=folder)
    assert list(found.windows()) == ["alike", "noisy", "pairs"]
    assert found.at("noisy").dataset().features[-1] == "noise2"
    assert found.at("alike")["data_events"] == found.at("noisy")["data_events"] == 6000
    assert found.at("pairs")["dataset"]["source"] == "dimuons"
    assert "mine: other is left out; it is of another signal or simulation than a sample has" in capsys.readouterr().out


# The section


def made_up(suite: suites.Suite) -> Results:
    """CATHODE closes well on one task and not on the other two; the idealised detector has a SIC of 10 everywhere."""
    rows = []
    closures = {"alike": (0.508, 0.001), "noisy": (0.53, 0.001), "pairs": (0.507, 0.005)}
    sidebands = {"alike": 0.6, "noisy": 0.51, "pairs": 0.5}
    for name in suite.windows():
        value, error = closures[name]
        here = {"window": name, "seed": "s1", "injection": next(iter(suite.at(name).injections())), "note": ""}
        rows.append({**here, "method": np.nan, "metric": "closure_sidebands", "value": sidebands[name]})
        rows.append({**here, "method": "cathode", "metric": "closure_auc", "value": value, "high": value + error})
        rows += [
            {**here, "method": method, "metric": "max_sic", "value": sic}
            for method, sic in (("cathode", 9.0), ("iad", 10.0))
        ]
        if name != "pairs":
            rows.append(
                {**here, "injection": "n0", "method": "cathode", "metric": "closure_auc", "value": value - 0.001}
            )
            rows[-1]["high"] = value
            rows.append({**here, "injection": "n0", "method": "cathode", "metric": "z_direct_1e-2", "value": 4.25})
    drawn = [
        {
            "window": name,
            "injection": injection,
            "seed": "s1",
            "signal_in_window": number,
            "significance": (number or 0) / 100,
        }
        | {"dataset": "toys", "mass_range": np.array([2.3, 5.0]), "features": ["x", "y"], "data_in_range": 1000}
        for name in suite.windows()
        for injection, number in suite.at(name).injections().items()
    ]
    empty = pd.DataFrame()
    return Results(suite, Path(), pd.DataFrame(rows), empty, empty, empty, pd.DataFrame(drawn), [])


def test_the_table_of_tasks_holds_their_numbers(tmp_path: Path) -> None:
    results = made_up(suites.load(written(tmp_path / "mine.yaml", **SUITE)))
    ((heading, _, (described, picture, table)),) = studies.sections(results)
    assert heading == "Tasks side by side"
    assert isinstance(described, Table)
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    assert_readable([picture])
    assert [row for row in table.rows if row[1] == "CATHODE"] == [
        ["alike", "CATHODE", "0.5080 ± 0.0010", "0.6000", "0.5150", "yes", "9.00", "0.900", "+4.2"],
        ["noisy", "CATHODE", "0.5300 ± 0.0010", "0.5100", "0.5150", "no", "9.00", "0.900", "+4.2"],
        ["pairs", "CATHODE", "0.5070 ± 0.0050", "0.5000", "0.5050", "within its error", "9.00", "0.900", "n/a"],
    ]
    assert [row[6:8] for row in table.rows if row[1] == "Idealised detector"] == [["10.0", "1.00"]] * 3
    assert table.caption.endswith("100 injected over all masses: one draw.")
    assert described.rows[2] == ["pairs", "toys", "2.3–5", "32–36", "x, y", "1000", "100", "1.00"]


def test_limits_are_the_tighter_of_two() -> None:
    def row(sidebands: float, closure: float, error: float = 0.0) -> tasks.Row:
        return tasks.Row("t", "cathode", closure, error, sidebands, [], [], [])

    assert (row(0.6, 0.5).limit, row(0.5, 0.5).limit) == (0.515, 0.505)
    assert (row(0.5, 0.504).holds, row(0.5, 0.506).holds, row(0.5, 0.506, 0.002).holds) == (
        "yes",
        "no",
        "within its error",
    )
    assert row(np.nan, 0.5).holds == "n/a"


def test_nothing_evaluated_is_no_section(tmp_path: Path) -> None:
    results = made_up(suites.load(written(tmp_path / "mine.yaml", **SUITE)))
    controls = results.numbers[results.numbers["metric"] == "closure_sidebands"]
    results = Results(results.suite, Path(), controls, *(results.curves,) * 3, results.tasks, [])
    assert list(studies.sections(results)) == []
    assert tasks.protocol(results)["events"].startswith("Named tasks, each with its own: alike, noisy, pairs;")

"""What the report begins with, and the systematic errors of excesses, from numbers made up here."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import DEFAULTS, Suite
from sideband.benchmarks.metrics.excess import significance
from sideband.benchmarks.problems.search import excess, labels, ranking, systematics, verdict
from sideband.benchmarks.report import cost
from sideband.benchmarks.report.content import Table
from sideband.benchmarks.report.results import Results
from sideband.infer.errors import BadInput

CONTENT: dict[str, Any] = {
    **DEFAULTS,
    "dataset": {"source": "dijets"},
    "mass_range": [2.3, 5.0],
    "windows": [[3.3, 3.7]],
    "injections": [750, 440, 0],
    "seeds": list(range(1, 9)),
    "methods": {"cathode": {}, "feta": {}, "sigma": {}, "iad": {}},
}


def results(rows: Iterable[dict[str, Any]], **content: Any) -> Results:
    suite = Suite("toy", CONTENT | content)
    tasks = [
        {"window": window, "injection": injection, "seed": seed, "data_in_window": 1000}
        | {"significance": (number or 0) / 340 * (window == "3.3-3.7")}
        for window in suite.windows()
        for injection, number in suite.injections().items()
        for seed in suite.seeds(injection)
    ]
    place = {"window": "3.3-3.7", "injection": "n750", "seed": "s1", "low": 0.0, "high": 0.0, "note": ""}
    numbers = [place | row for row in rows]
    numbers += list(systematics.across(suite, numbers))
    empty = pd.DataFrame()
    return Results(suite, Path(), pd.DataFrame(numbers), empty, empty, empty, pd.DataFrame(tasks), [])


def draws(method: str, values: list[float], metric: str = "sic_1e-3", injection: str = "n440") -> list[dict[str, Any]]:
    return [
        {"method": method, "metric": metric, "injection": injection, "seed": f"s{seed}", "value": value}
        for seed, value in enumerate(values, start=1)
    ]


SENSITIVE = [
    *draws("iad", [10.0] * 8),
    *draws("cathode", [6.0, 6, 6, 6, 8, 8, 8, 8]),
    *draws("feta", [5.0, 5, 5, 5, 9, 9, 9, 9]),
    *draws("sigma", [1.0] * 8),
]


def counted(observed: float, expected: float, error: float, **place: Any) -> list[dict[str, Any]]:
    place = {"method": "cathode"} | place
    z = significance(observed, expected, error)
    return [
        place | {"metric": "observed_1e-2", "value": observed},
        place | {"metric": "expected_1e-2", "value": expected, "high": expected + error},
        place | {"metric": "z_direct_1e-2", "value": z},
    ]


def column(table: Table, beginning: str) -> dict[str, str]:
    (place,) = [place for place, name in enumerate(table.head) if name.startswith(beginning)]
    return {row[0]: row[place] for row in table.rows}


def test_the_verdict_names_the_best_and_what_the_draws_cannot_tell() -> None:
    (found,) = ranking.of(results(SENSITIVE))
    assert list(found.values) == ["iad", "cathode", "feta", "sigma"]
    assert found.place == "440 injected over all masses, S/√B = 1.3 in 3.3–3.7"
    assert [found.letters(name) for name in found.values] == ["a", "b", "b", "c"]
    assert found.against_best("feta") == "0.500 (4 of 8) (CATHODE)"
    assert found.against_best("cathode") == "0.500 (4 of 8) (FETA)"  # not of the reference, which needs the truth
    assert found.against_best("sigma") == "0.002 (0 of 8) (CATHODE)"
    assert found.text().endswith(
        "of the methods that need no truth, CATHODE has the largest median SIC at 10⁻³, 7.00 (6.00–8.00). The 8 draws "
        "cannot tell it from FETA."
    )
    matrix = found.matrix()
    assert matrix.rows[1] == ["CATHODE", "0.002 (0 of 8)", "", "0.500 (4 of 8)", "0.998 (8 of 8)"]


def test_few_draws_say_so() -> None:
    heading, text, content = verdict.section(results([row for row in SENSITIVE if row["seed"] < "s4"], seeds=[1, 2, 3]))
    assert heading == "What to use"
    assert "3 draws cannot tell any two methods apart" in text
    assert "fewer than 8 draws" in text
    table = content[0]
    assert isinstance(table, Table)
    assert set(column(table, "group").values()) == {"a"}


def test_one_row_a_method_with_everything() -> None:
    rows = [
        *SENSITIVE,
        *draws("cathode", [0.51] * 8, "closure_auc", "n750"),
        *draws("cathode", [1.5] * 8, "sculpting_0.01", "n750"),
        *draws("cathode", [0.1, 3.5, -4, 1, 1, 1, 1, 1], "z_direct_1e-2", "n0"),
        *({"method": name, "metric": "fit_cpu_seconds", "value": 7.0} for name in ("cathode", "feta")),
        {"method": "sideband", "metric": "fit_cpu_seconds", "value": 10.0},
        {"method": "base_simulation", "metric": "fit_cpu_seconds", "value": 100.0},
        {"method": "sideband", "metric": "converged", "value": 0.0, "note": "flow"},
        {"method": "iad", "metric": "background_events", "value": 5000.0},
    ]
    found = results(rows)
    _, text, (table, *_) = verdict.section(found)
    assert isinstance(table, Table)
    assert column(table, "closure AUC, 750 injected, 3.3–3.7")["CATHODE"] == "0.5100 (0.5100–0.5100)"
    assert column(table, "sculpting")["CATHODE"].startswith("1.50")
    alarms = "1 of 8, largest Z 3.50, statistical errors only; may be all template"
    assert column(table, "false alarms (Z ≥ 3), no signal injected")["CATHODE"] == alarms
    assert (column(table, "CPU seconds to fit 1 ")["CATHODE"], column(table, "CPU seconds to fit 1 ")["FETA"]) == (
        *("17.0", "107"),
    )
    assert column(table, "CPU seconds to fit 10")["CATHODE"] == "170"
    assert column(table, "CPU seconds to fit 10")["FETA"] == "170"  # its base flow serves all windows
    assert column(table, "needs") == {
        "Over-idealised detector": "truth",
        "CATHODE": "sidebands",
        "FETA": "sidebands, simulation",
        "SIGMA": "sidebands",
    }
    assert column(table, "caution")["CATHODE"] == "1 of 1 trainings stopped before they converged"
    assert cost.table(found).rows[-4][5] == "no criterion"
    assert "Trainings stopped before they converged: CATHODE." in text
    assert "over-idealised detector has more background than templates" in text


def test_as_much_background_as_a_template_is_not_too_much() -> None:
    row = {"method": "iad", "metric": "background_events", "value": 4000.0}
    assert labels.title(results([row]), "iad") == "Idealised detector"
    assert labels.title(results([row | {"value": 4001.0}]), "iad") == "Over-idealised detector"


VALIDATED = {"validation_windows": [[2.8, 3.2], [3.8, 4.2]], "excess": {"folds": 5}}


def test_validation_windows_give_the_error_of_the_signal_region() -> None:
    """Of the same injection and method, over all windows and draws; without them errors are statistical and say so."""
    rows = [
        *counted(150, 100, 5, window="2.8-3.2"),
        *counted(90, 100, 5, window="3.8-4.2", seed="s2"),
        *counted(140, 100, 5),
        *counted(140, 100, 5, injection="n0"),
        *counted(140, 100, 5, method="feta"),
    ]
    found = results(rows, **VALIDATED)
    (delta,) = found.metric("systematic_1e-2").to_dict("records")
    assert (delta["method"], delta["injection"], delta["window"]) == ("cathode", "n750", "3.3-3.7")
    found_there = ((0.5**2 + 0.1**2) / 2) ** 0.5  # half too many in one window, a tenth too few in the other
    assert delta["value"] == pytest.approx(found_there)
    (z,) = found.metric("z_with_systematic_1e-2")["value"]
    assert z == pytest.approx(significance(140, 100, 5, found_there, 2))
    assert z < 0.5 * significance(140, 100, 5)
    table = {(row[1], row[2]): row[-1] for row in excess.regions(found).rows}
    assert table == {
        ("750", "CATHODE"): "statistical, δ_sys = 0.361",
        ("750", "FETA"): excess.STATISTICAL,
        ("0", "CATHODE"): excess.STATISTICAL,
    }
    (validated,) = excess.validation(found).rows
    ends = [significance(count, 100, 5) for count in (90, 150)]
    assert [float(z) for z in validated[4:6]] == pytest.approx(ends, rel=0.01)
    section = excess.section(found)
    assert section is not None
    assert [part.caption.split()[0] for part in section[2]] == ["Excess", "Validation", "Signal"]
    without = excess.section(results(counted(140, 100, 5)))
    assert without is not None
    assert "any excess may be all template" in without[1]


def test_alarms_are_counted_with_the_whole_error_where_there_is_one() -> None:
    rows = [*counted(150, 100, 5, window="2.8-3.2", injection="n0"), *counted(150, 100, 5, injection="n0"), *SENSITIVE]
    _, _, (table, *_) = verdict.section(results(rows, **VALIDATED))
    assert isinstance(table, Table)
    z = significance(150, 100, 5, 0.5, 1)
    assert column(table, "false alarms")["CATHODE"] == f"0 of 1, largest Z {z:.3f}, errors with δ_sys"


def test_validation_windows_hold_templates_of_their_own_seeds(tmp_path: Path) -> None:
    content = {key: each for key, each in CONTENT.items() if key not in DEFAULTS} | {"about": "toy", **VALIDATED}
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(content | {"validation_seeds": [2]}))
    cells = list(suites.load(path).cells(shared=True))
    beside = {(cell.method, cell.seed) for cell in cells if cell.window == "2.8-3.2"}
    assert beside == {(name, "s2") for name in ("cathode", "feta", "sigma", "sideband")}
    assert len([cell for cell in cells if cell.window == "3.3-3.7" and cell.method == "iad"]) == 24
    path.write_text(yaml.safe_dump(content | {"validation_seeds": [9]}))
    with pytest.raises(BadInput, match="validation_seeds: 9 is none of the suite's seeds"):
        suites.load(path)

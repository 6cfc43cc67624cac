import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import results, sic
from benchmarks.suite import Suite
from infer import events

Run = tuple[Suite, Path]


def test_every_number_is_one_row(labelled_run: Run) -> None:
    found = results.gather(*labelled_run)
    assert not found.missing
    key = ["suite", "window", "injection", "seed", "method", "metric", "note"]
    assert not found.numbers.duplicated(key).any()
    assert set(found.numbers["metric"]) == {
        *("sic_1e-3", "max_sic", "auc", "closure_auc", "closure_floor", "closure_sidebands"),
        *(
            "fit_seconds",
            "fit_cpu_seconds",
            "model_cpu_seconds",
            "peak_memory_mib",
            "training_events_per_second",
            *(f"outside_fitted_range_{role}" for role in ("template", "score")),
        ),
    }
    assert found.numbers[list(results.PROVENANCE)].notna().all(axis=None)
    assert found.values("sic_1e-3", "cathode", "n600", "3.3-3.7") == {"s1": 6.0}
    (row,) = found.metric("closure_auc").to_dict("records")
    assert (row["method"], row["value"], row["note"]) == ("cathode", 0.51, "2000 events a side")
    assert (row["low"], row["high"]) == pytest.approx((0.507, 0.513))
    assert len(found.curves) == 3 * len(sic.GRID)
    assert len(found.timings) == 4 * 12
    assert len(found.tasks) == 1
    assert found.tasks.iloc[0]["injection"] == "n600"


def test_unlabelled_numbers(unlabelled_run: Run) -> None:
    found = results.gather(*unlabelled_run)
    assert found.curves.empty
    assert found.metric("sic_1e-3").empty
    values = found.metric("excess_0.01")
    assert list(values["value"]) == [1.5, 1.5]  # CATHODE in two windows; CWoLa makes no template
    assert list(values["note"]) == ["observed 12, expected 10.0 +- 2.0"] * 2
    assert list(found.metric("closure_floor")["window"]) == ["2700-3100"]


def test_unfinished_cells_are_missing_and_not_zero(labelled_run: Run, tmp_path: Path) -> None:
    suite, folder = labelled_run
    shutil.copytree(folder, tmp_path / "runs")
    place = tmp_path / "runs" / "3.3-3.7" / "n600" / "s1"
    (place / "cwola" / "evaluation.json").unlink()
    shutil.rmtree(place / "iad")
    (place / "cathode" / "timing_template.json").unlink()
    found = results.gather(suite, tmp_path / "runs")
    assert [cell.method for cell in found.missing] == ["cwola", "iad"]
    assert np.isnan(found.values("sic_1e-3", "cwola", "n600", "3.3-3.7")["s1"])
    assert set(found.metric("fit_seconds")["method"]) == {"cathode", "cwola", "sideband"}
    assert set(found.timings["role"]) == {"score"}


def test_nothing_finished(labelled_run: Run, tmp_path: Path) -> None:
    found = results.gather(labelled_run[0], tmp_path)
    assert len(found.missing) == 3  # the shared fit is no cell of its own
    assert found.numbers.empty
    assert found.timings.empty
    assert found.tasks.empty


def test_numbers_of_one_cell(labelled_run: Run, tmp_path: Path) -> None:
    cell = labelled_run[1] / "3.3-3.7" / "n600" / "s1" / "cathode"
    rows = {row["metric"]: row for row in results.numbers_of_cell(cell)}
    assert rows["sic_1e-3"]["value"] == 6.0
    assert rows["sic_1e-3"]["high"] == 6.5
    assert rows["max_sic"]["note"].startswith("at background efficiency 0.004; 40000 test background events")
    assert rows["fit_cpu_seconds"]["value"] == 20.0
    assert results.numbers_of_cell(tmp_path) == []
    record = events.read_json(cell / "evaluation.json")
    record["sic"]["sic"] = None
    events.write_json(tmp_path / "evaluation.json", record)
    assert np.isnan(next(row["value"] for row in results.numbers_of_cell(tmp_path) if row["metric"] == "sic_1e-3"))

import shutil
from pathlib import Path

import numpy as np
import pytest

from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.metrics import closure, sculpting, sic
from sideband.benchmarks.problems import named
from sideband.benchmarks.problems.search import records
from sideband.benchmarks.report import results
from sideband.infer import events
from sideband.infer.errors import BadInput

Run = tuple[Suite, Path]
SEARCH = named("search")


def test_every_number_is_one_row(labelled_run: Run) -> None:
    found = results.gather(*labelled_run)
    assert not found.missing
    key = ["suite", "window", "injection", "seed", "method", "metric", "note"]
    assert not found.numbers.duplicated(key).any()
    shaped = [f"sculpting_{efficiency:g}" for efficiency in sculpting.EFFICIENCIES]
    assert found.values(shaped[0], "cathode", "n600", "3.3-3.7") == {"s1": 6.0}
    assert np.isnan(found.values(shaped[-1], "cathode", "n600", "3.3-3.7")["s1"])
    assert set(found.numbers["metric"]) == {
        *shaped,
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
    values = found.metric("z_direct_1e-2")
    assert list(values["value"]) == [1.5, 1.5]  # CATHODE in two windows; ANODE makes no template
    assert list(values["note"]) == ["observed 12, expected 10.0 ± 2.0"] * 2
    assert list(found.metric("closure_floor")["window"]) == ["2700-3100"]


def test_unfinished_cells_are_missing_and_not_zero(labelled_run: Run, tmp_path: Path) -> None:
    suite, folder = labelled_run
    shutil.copytree(folder, tmp_path / "runs")
    place = tmp_path / "runs" / "3.3-3.7" / "n600" / "s1"
    (place / "anode" / "evaluation.json").unlink()
    shutil.rmtree(place / "iad")
    (place / "cathode" / "timing_template.json").unlink()
    found = results.gather(suite, tmp_path / "runs")
    assert [cell.method for cell in found.missing] == ["anode", "iad"]
    assert np.isnan(found.values("sic_1e-3", "anode", "n600", "3.3-3.7")["s1"])
    assert set(found.metric("fit_seconds")["method"]) == {"cathode", "anode", "sideband"}
    assert set(found.timings["role"]) == {"score"}


@pytest.fixture
def copied(labelled_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(labelled_run[1], tmp_path / "runs")
    return labelled_run[0], tmp_path / "runs"


CELL = "3.3-3.7/n600/s1/cathode"
RECORDS = ["fit.json", "evaluation.json", "export.json", "timing_template.json", "compare_template.json"]


@pytest.mark.parametrize("name", [*(f"{CELL}/{name}" for name in RECORDS), "3.3-3.7/control.json"])
@pytest.mark.parametrize("left", [b"", b"[", b"[1]", b"{}", b"null", b"\xff", b"[" * 100_000, None])
def test_damaged_records_are_told(copied: Run, name: str, left: bytes | None) -> None:
    suite, folder = copied
    path = folder / name
    if left is None and path.exists():
        left = path.read_bytes()[:-30]
    path.write_bytes(left or b"")
    with pytest.raises(BadInput) as refused:
        results.gather(suite, folder)
    assert str(refused.value).startswith(f"{path}: ")
    assert "remove" in str(refused.value)
    assert "run the suite again" in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("fit.json", ["fits", "flow", "steps"], "many"),
        ("fit.json", ["seconds"], None),
        ("fit.json", ["signal_fraction"], 0.1),
        ("evaluation.json", ["sic", "curve"], [1.0]),
        ("evaluation.json", ["closure", "events"], 0),
        ("evaluation.json", ["closure", "weights"], [[1]]),
        ("evaluation.json", ["excess"], [{}]),
        ("evaluation.json", ["sculpting", "chi2"], ["large"]),
        ("timing_template.json", [0, "role"], "cut"),
        ("timing_template.json", [0, "method"], "iad"),
        ("timing_template.json", [0, "events_per_second"], "fast"),
        ("compare_template.json", [0, "threads"], 0),
    ],
)
def test_edited_records_are_told(copied: Run, name: str, place: list[str | int], value: object) -> None:
    suite, folder = copied
    path = folder / CELL / name
    record = at = events.read_json(path)
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    events.write_json(path, record)
    with pytest.raises(BadInput, match=f"{name}: .*; remove the file, and run the suite again"):
        results.gather(suite, folder)


def test_records_hold_as_many_weights_as_there_are_bins() -> None:
    assert len(closure.WEIGHTS) - 1 == records.WEIGHTS


def test_rows_of_every_scope_are_needed(copied: Run) -> None:
    suite, folder = copied
    path = folder / CELL / "timing_score.json"
    events.write_json(path, [row for row in events.read_json(path) if row["scope"] != "file"])
    with pytest.raises(BadInput, match=r"timing_score\.json: .*; remove the file"):
        results.gather(suite, folder)


def test_nothing_finished(labelled_run: Run, tmp_path: Path) -> None:
    found = results.gather(labelled_run[0], tmp_path)
    assert len(found.missing) == 3  # the shared fit is no cell of its own
    assert found.numbers.empty
    assert found.timings.empty
    assert found.tasks.empty


def test_numbers_of_one_cell(labelled_run: Run, tmp_path: Path) -> None:
    cell = labelled_run[1] / "3.3-3.7" / "n600" / "s1" / "cathode"
    rows = {row["metric"]: row for row in results.numbers_of_cell(cell, SEARCH)}
    assert rows["sic_1e-3"]["value"] == 6.0
    assert rows["sic_1e-3"]["high"] == 6.5
    assert rows["max_sic"]["note"].startswith("at background efficiency 0.004; 40000 test background events")
    assert rows["fit_cpu_seconds"]["value"] == 20.0
    assert results.numbers_of_cell(tmp_path, SEARCH) == []
    record = events.read_json(cell / "evaluation.json")
    record["sic"]["sic"] = None
    events.write_json(tmp_path / "evaluation.json", record)
    assert np.isnan(
        next(row["value"] for row in results.numbers_of_cell(tmp_path, SEARCH) if row["metric"] == "sic_1e-3")
    )

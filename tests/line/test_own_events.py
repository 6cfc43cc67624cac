"""Bring your own events: three features with foreign names, the mass in GeV, without labels."""

import json

import pandas as pd

from tests.line.conftest import Ran

WINDOW, VALIDATION = "3300-3700", "2700-3000"
METHODS = ("cathode", "cwola")


def test_without_labels_the_run_finishes(unlabelled: Ran) -> None:
    assert unlabelled.done.returncode == 0, unlabelled.done.stderr
    closure, _, excess = unlabelled.done.stdout.partition("Excess in the signal regions")
    assert "2700–3000 GeV: closure AUC" in closure
    assert closure.count(": closure AUC") == 1  # nobody can know that of the signal region
    assert "CATHODE" in excess
    assert "CWoLa" in excess
    assert "δ_sys" in excess


def test_without_labels_there_is_what_needs_no_truth(unlabelled: Ran) -> None:
    results = pd.read_csv(unlabelled.folder / "report" / "results.csv")
    assert not results["metric"].str.contains("sic").any()
    closed = results[results["metric"] == "closure_auc"]
    assert sorted(zip(closed["window"], closed["method"], strict=True)) == [(VALIDATION, name) for name in METHODS]
    controls = results[results["metric"].isin(["closure_floor", "closure_sidebands"])]
    assert set(controls["window"]) == {VALIDATION}
    excess = results[results["metric"] == "z_direct_1e-2"]
    assert sorted(zip(excess["window"], excess["method"], strict=True)) == [
        (window, name) for window in (VALIDATION, WINDOW) for name in METHODS
    ]
    assert excess["value"].abs().max() < 10
    assert {"fit_seconds", "peak_memory_mib"} <= set(results["metric"])
    timed = pd.read_csv(unlabelled.folder / "report" / "throughput.csv")
    assert set(zip(timed["method"], timed["role"], strict=True)) == {
        (name, role) for name in METHODS for role in ("template", "score")}  # fmt: skip


def test_the_report_says_why_the_rest_is_missing(unlabelled: Ran) -> None:
    page = (unlabelled.folder / "report" / "index.html").read_text()
    assert "their labels are not known" in page
    assert "Without labels" in page
    cell = unlabelled.folder / WINDOW / "observed" / "s1"
    evaluation = json.loads((cell / "cathode" / "evaluation.json").read_text())
    assert evaluation["sic"] is None
    assert evaluation["sic_missing"] == "the events have no labels"
    assert "validation window" in evaluation["closure_missing"]


def test_the_validation_window_never_sees_the_signal_region(unlabelled: Ran) -> None:
    from sideband.benchmarks.events import task

    the_task = task.read(unlabelled.folder / VALIDATION / "observed" / "s1" / "task.h5")
    mass = the_task.events("data").mass
    assert not ((mass > 3300) & (mass < 3700)).any()
    assert ((mass > 2700) & (mass < 3000)).sum() == the_task.attributes["data_in_window"]

"""The comparison with peers: which rows there are, what is missing, what is kept, and what the table says."""

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sideband.benchmarks import catalogue, peers
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.peers import run, table
from sideband.infer import events
from sideband.infer.errors import BadInput, GateFailed
from tests.docs.pages import ROOT

ROW = {
    "name": "edm",
    "title": "EDM",
    "budget": 600.0,
    "reached": True,
    "seconds": 123.4,
    "cpu_seconds": 240.6,
    "closure": 0.52341,
    "error": 0.0021,
    "events_per_second": 123_456.0,
    "engine": "torch eager",
    "with": "torch 2",
    "settings": "its README",
}


def without(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    """As if of the packages of the peers only these were absent."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else ModuleSpec(name, None))


def test_rows_are_files_of_peers_and_methods_that_fit_no_template_themselves() -> None:
    files = {path.stem for path in (ROOT / "train" / "peers").glob("*.py")}
    assert set(peers.PEERS) == files - {"__init__", "loop", "race", "own", "step"}
    for name in peers.OWN:
        method = catalogue.get(name)
        assert "template" in method.roles
        assert (method.of, method.rows, method.own_fit) == ("", False, False)
        assert all(catalogue.get(need).shared for need in method.needs)


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "nflows")
    with pytest.raises(BadInput, match=r"peer nflows_nsf: nflows not installed; pip install 'sideband\[peers\]'"):
        peers.chosen()
    assert peers.chosen(["edm", "cathode"]) == {"edm": "", "cathode": ""}


def test_torchcfm_is_left_out_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torchcfm", "ot")
    rows = peers.chosen()
    assert list(rows) == [*peers.PEERS, *peers.OWN]
    assert {name: reason for name, reason in rows.items() if reason} == {
        "torchcfm_icfm": f"torchcfm, ot not installed; {peers.BY_HAND['torchcfm_icfm']}"
    }
    with pytest.raises(BadInput, match="torchcfm, ot not installed; pip install --no-deps torchcfm"):
        peers.chosen(["torchcfm_icfm"])


@pytest.mark.skipif(importlib.util.find_spec("nflows") is not None, reason="nflows is installed")
def test_a_missing_package_is_one_line_on_the_terminal(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "sideband", "peers", "--rows", "nflows_nsf", "--runs", str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: peer nflows_nsf: nflows not installed; pip install 'sideband[peers]'\n"
    assert not any(tmp_path.iterdir())


def test_the_table_says_what_was_not_reached_or_not_measured(tmp_path: Path) -> None:
    late = {**ROW, "title": "late", "reached": False, "closure": 0.61, "seconds": 600.2, "cpu_seconds": 1190.0}
    rows: list[dict[str, Any]] = [ROW, late, {"name": "x", "title": "x", "missing": "no compiler"}]
    table.write(rows, tmp_path)
    lines = (tmp_path / "peers.md").read_text().splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| EDM | 123 | 241 | 0.5234 ± 0.0021 | 123,000 | torch eager | torch 2 | its README |"
    assert lines[3].startswith("| late | not within 600 (600) | (1190) | 0.6100 ± 0.0021 |")
    assert lines[4].startswith("| x | not measured: no compiler |")
    read = pd.read_csv(tmp_path / "peers.csv").set_index("name")
    assert read.loc["edm", "closure"].tolist() == [0.52341, 0.61]
    assert read.loc["x", "missing"] == "no compiler"


def race(folder: Path, seconds: float = 1.0) -> run.Race:
    return run.Race(suites.load("smoke"), folder, 1, seconds)


def test_a_finished_row_is_kept_until_what_it_depends_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def measure(self: run.Race, name: str) -> dict[str, Any]:
        measured.append(name)
        return {**ROW, "name": name} if name == "edm" else {"name": name, "title": name, "missing": "it crashed"}

    monkeypatch.setattr(run.Race, "measure", measure)
    rows = {"edm": "", "cathode": "", "torchcfm_icfm": "not installed"}
    for seconds, expected in ((1.0, ["edm", "cathode"]), (1.0, ["cathode"]), (2.0, ["edm", "cathode"])):
        measured.clear()
        done = run.run(race(tmp_path, seconds), rows)
        assert measured == expected
        assert [row.get("missing", "") for row in done] == ["", "it crashed", "not installed"]
    assert len(pd.read_csv(tmp_path / "peers.csv")) == 3


def test_a_suite_without_true_background_in_a_window_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    showers = run.Race(suites.load("smoke_showers"), tmp_path, 1, 1.0)
    with pytest.raises(BadInput, match="suite smoke_showers: its first task has no window or no labels"):
        run.run(showers, {"edm": ""})
    unlabelled = race(tmp_path)
    monkeypatch.setattr(suites.Suite, "labelled", False)
    with pytest.raises(BadInput, match="suite smoke: its first task has no window or no labels"):
        run.run(unlabelled, {"edm": ""})
    assert not any(tmp_path.iterdir())


def test_a_method_is_drawn_with_onnx_runtime(tmp_path: Path) -> None:
    (row,) = run.run(race(tmp_path), {"cathode": ""})
    assert "missing" not in row, row
    assert row["engine"] == "ONNX Runtime"
    assert row["seconds"] == row["looks"][-1]["seconds"]
    assert row["closure"] == pytest.approx(row["looks"][-1]["closure"], abs=2e-3)  # the very events, but for rounding
    assert row["events_per_second"] > 0
    assert events.read_json(tmp_path / "cathode" / run.ROW) == row


def test_what_fails_is_left_out_and_says_why(tmp_path: Path) -> None:
    (row,) = run.run(race(tmp_path), {"edmm": ""})
    assert "no such peer and no method" in row["missing"]
    assert not (tmp_path / "edmm").exists()


def test_a_crash_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(GateFailed, match="train peer failed"):
        run.run(race(tmp_path), {"edm": ""})

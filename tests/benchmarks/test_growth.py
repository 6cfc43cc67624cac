"""How a run grows: the points, what a step takes, and that finished points are kept."""

import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import pandas as pd
import pytest
import yaml

from sideband.benchmarks import growth
from sideband.benchmarks.grid import measured
from sideband.benchmarks.grid import run as grid
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.workflow import Workflow
from sideband.benchmarks.growth import figure, run


@pytest.mark.parametrize("point", growth.points(tuple(growth.AXES)), ids=lambda point: f"{point.axis} {point.value}")
def test_every_point_is_a_suite_of_its_size(point: growth.Point, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(point.suite()))
    suite = suites.load(path)
    sizes = {
        "events": suite["dataset"]["events"],
        "features": len(suite["dataset"]["features"]) + suite["dataset"]["noise"],
        "windows": len(suite.windows()),
        "methods": len(suite["methods"]),
    }
    assert sizes == {**growth.COMMON, point.axis: point.value}


def test_axes_meet_in_one_point() -> None:
    names = [point.name for point in growth.points(tuple(growth.AXES))]
    assert names.count("common") == len(growth.AXES)
    assert len(set(names)) == len(names) - len(growth.AXES) + 1


def test_a_step_is_measured_and_ends_as_it_ends(tmp_path: Path) -> None:
    line = [sys.executable, measured.__file__, str(tmp_path / "rows"), sys.executable, "-m", "timeit", "-n1", "-r1"]
    assert subprocess.run([*line, "x = bytearray(300 << 20)"], check=False, capture_output=True).returncode == 0
    assert subprocess.run([*line, "import os; os._exit(7)"], check=False, capture_output=True).returncode == 7
    large, small = map(json.loads, (tmp_path / "rows").read_text().splitlines())
    assert large["peak_mib"] > 300 > small["peak_mib"]
    assert 0 < small["cpu_seconds"] < 10 > small["seconds"] > 0


def test_the_grid_measures_its_steps_where_it_is_asked_to(tmp_path: Path) -> None:
    suites.load("smoke").save(tmp_path / "suite.json")
    flow = Workflow(grid.SNAKEFILE, tmp_path, "", {"measured": "/some/file"}, ("--dry-run", "--printshellcmds"), 2)
    done = subprocess.run(flow.command(), capture_output=True, text=True, check=True)
    commands = [line for line in (done.stdout + done.stderr).splitlines() if " -m sideband." in line]
    assert len(commands) > 50
    assert all(f"{measured.__file__} /some/file {sys.executable} -m sideband." in line for line in commands)


def test_points_are_kept_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def pretend(flow: Workflow, owner: IO[str]) -> bool:
        size = suites.load(flow.folder / "suite.json")["dataset"]["events"]
        rows = [
            {"step": step, "seconds": size / 1e4, "cpu_seconds": size / 1e4, "peak_mib": 100.0 + size / 1e5}
            for step in ("task", "fit", "fit", "cell")
        ]
        Path(flow.config["measured"]).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        ran.append(flow.folder.name)
        return True

    monkeypatch.setattr(Workflow, "run", pretend)
    monkeypatch.setattr(run, "call", lambda *arguments: None)
    points = growth.points(("events", "methods"))
    table = run.run(points, tmp_path)
    assert table is not None
    assert ran == ["common", "events_1000000", "events_10000000", "methods_4", "methods_8"]
    assert not [path for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".")]
    fits = table[(table["axis"] == "events") & (table["step"] == "fit")]
    assert list(fits["jobs"]) == [2, 2, 2]
    assert list(fits["cpu_seconds"]) == [20.0, 200.0, 2000.0]
    assert set(table["step"]) == {"task", "fit", "export"}
    pd.testing.assert_frame_equal(run.run(points, tmp_path), table)
    assert len(ran) == 5  # nothing was measured again
    lines = list(figure.table(table))
    assert lines[3] == ("", "fit", "20 → 200 → 2,000", "101 → 110 → 200", "1.00", "0.26")
    assert len(figure.draw(table).axes) == 4


def test_a_point_that_fails_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workflow, "run", lambda flow, owner: False)
    monkeypatch.setattr(run, "call", lambda *arguments: None)
    assert run.run(growth.points(("events",)), tmp_path) is None
    assert not (tmp_path / run.FILE).exists()

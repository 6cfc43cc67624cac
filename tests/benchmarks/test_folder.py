"""Whose folder it is."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sideband.benchmarks.grid import run as grid
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.workflow import Workflow
from sideband.infer import process
from sideband.infer.errors import BadInput
from tests.conftest import OWN

ROOT = Path(__file__).parents[2]

OWN_SUITE: dict[str, Any] = {
    "about": "own events",
    "dataset": OWN,
    "mass_range": [2000, 6000],
    "windows": [[3300, 3700]],
    "seeds": [1, 2],
    "methods": {"cathode": {}, "cwola": {}},
}
Write = Callable[..., Path]


@pytest.fixture
def own(tmp_path: Path, toy_events: Callable[..., Path]) -> Write:
    """Writes a suite of own events; `place` is its folder."""

    def write(place: str = "here", **changes: Any) -> Path:
        folder = tmp_path / place
        folder.mkdir(exist_ok=True)
        toy_events(folder / "own.h5", 2000)
        (folder / "mine.yaml").write_text(yaml.safe_dump(OWN_SUITE | changes))
        return folder / "mine.yaml"

    return write


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs; none of them starts a process."""
    monkeypatch.setattr(grid, "call", lambda *arguments: None)
    monkeypatch.setattr(Workflow, "run", lambda workflow, owner: True)
    return tmp_path / "runs"


def finish(folder: Path) -> dict[str, bytes]:
    """Put files where the grid of `OWN_SUITE` has them; returns all there are."""
    for name in (
        "3300-3700/control.json",
        *(f"3300-3700/observed/s{seed}/{name}" for seed in (1, 2) for name in ("task.h5", "cathode/model.pt")),
        "checkpoints/3300-3700/observed/s2/sideband/x.pt",
        "logs/3300-3700_observed_s1_fit_cathode.log",
        "logs/3300-3700_observed_s2_fit_cathode.log",
        "logs/3300-3700_control.log",
        "report/index.html",
        "graphs/x.onnx",
        "notes/n3/mine.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".owner"
    }


def test_a_run_goes_on_wherever_suite_and_data_have_moved(runs: Path, own: Write) -> None:
    grid.run(str(own()), runs, "export")
    before = finish(runs / "mine")
    grid.run(str(own("there")), runs, "export")
    after = files(runs / "mine")
    assert {name for name in before if after[name] != before[name]} == {"suite.json"}
    assert suites.load(runs / "mine" / "suite.json").file.endswith("there/mine.yaml")


def test_the_folder_of_another_suite_is_refused_or_taken(runs: Path, own: Write) -> None:
    first, second = own(), own("there", seeds=[2, 3], closure_events=200)
    grid.run(str(first), runs, "export")
    before = finish(runs / "mine")
    with pytest.raises(BadInput) as refused:
        grid.run(str(second), runs, "export")
    assert str(refused.value) == (
        f"{runs / 'mine'}: belongs to {first}, and {second} differs from that in seeds, closure_events; "
        "`--runs OTHER` puts the results elsewhere, `--fresh` takes this folder for the suite at hand"
    )
    with pytest.raises(BadInput, match=rf"belongs to {first}, as it was before its seeds changed; `--runs"):
        grid.run(str(own(seeds=[2])), runs, "export")
    assert files(runs / "mine") == before
    grid.run(str(second), runs, "export", fresh=True)
    gone = {name for name in before if "/s1/" in name or "_s1_" in name} | {"report/index.html"}
    assert set(files(runs / "mine")) == set(before) - gone
    (runs / "mine" / "report").mkdir()
    (runs / "mine" / "report" / "index.html").touch()
    grid.run(str(second), runs, "infer", fresh=True)  # as each stage of Docker Compose does
    assert set(files(runs / "mine")) == set(before) - gone | {"report/index.html"}


def test_windows_of_another_suite_go_without_a_trace(runs: Path, own: Write) -> None:
    grid.run(str(own()), runs, "export")
    finish(runs / "mine")
    grid.run(str(own(windows=[[3400, 3600]])), runs, "export", fresh=True)
    assert set(files(runs / "mine")) == {"suite.json", "graphs/x.onnx", "notes/n3/mine.txt"}
    assert not (runs / "mine" / "3300-3700").exists()


@pytest.mark.parametrize("held", ["suite.json", "report/index.html"])
def test_a_folder_of_nobody_knows_whom_is_refused_or_taken(runs: Path, own: Write, held: str) -> None:
    path = runs / "mine" / held
    path.parent.mkdir(parents=True)
    path.write_text("{")
    for _ in range(2):
        with pytest.raises(BadInput, match="`--runs OTHER` puts the results elsewhere, `--fresh` takes this folder"):
            grid.run(str(own()), runs, "export")
    assert files(runs / "mine") == {held: b"{"}
    assert not (runs / "mine" / ".owner").exists()
    grid.run(str(own()), runs, "export", fresh=True)
    assert set(files(runs / "mine")) == {"suite.json"}


def test_a_suite_that_ships_may_change(runs: Path, own: Write, capfd: pytest.CaptureFixture[str]) -> None:
    grid.run("smoke", runs, "export")
    kept = runs / "smoke" / "suite.json"
    before = kept.read_bytes()
    told = json.loads(before)
    told["resolved"]["closure_events"] = 12345
    kept.write_text(json.dumps(told))
    assert capfd.readouterr().out == ""
    grid.run("smoke", runs, "export")
    assert capfd.readouterr().out.startswith("smoke: closure_events changed since the last run; ")
    assert kept.read_bytes() == before
    mine = own().rename(runs.parent / "here" / "smoke.yaml")
    with pytest.raises(BadInput, match=r"smoke: belongs to smoke, and .*smoke\.yaml differs from that in shared, "):
        grid.run(str(mine), runs, "export")


def test_what_is_refused_has_written_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: Path, own: Write
) -> None:
    def refuse(package: str, verb: str, suite: str) -> None:
        assert (package, verb) == ("train", "check")
        assert not Path(suite).is_relative_to(tmp_path / "runs")
        assert "nope" in suites.load(suite)["classifier"]
        raise BadInput("unknown setting 'nope'")

    grid.run(str(own()), runs, "train")
    before = files(runs / "mine")
    with monkeypatch.context() as patch:
        patch.setattr(grid, "call", refuse)
        for place, fresh in ((runs, True), (tmp_path / "none", False)):
            with pytest.raises(BadInput, match="unknown setting 'nope'"):
                grid.run(str(own(classifier={"nope": 3})), place, "train", fresh=fresh)
    assert files(runs / "mine") == before
    with pytest.raises(BadInput, match="no column 'absent'"):
        grid.run(str(own(dataset=OWN | {"features": ["absent"]})), tmp_path / "none", "train")
    assert not (tmp_path / "none").exists()


def test_the_mark_of_another_run_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: Path, own: Write
) -> None:
    (runs / "mine" / ".steps").mkdir(parents=True)
    monkeypatch.setenv(process.RUN, str(runs / "mine" / ".steps"))
    with process.step_of_a_run():  # as a run that is started by one of its own steps
        grid.run(str(own()), runs, "export")
        assert os.environ[process.RUN] == str(runs / "mine" / ".steps")
    monkeypatch.delenv(process.RUN)
    grid.run(str(own()), runs, "export")
    assert process.RUN not in os.environ

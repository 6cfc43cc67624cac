"""Own events through the command line, and everything that can be wrong with them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from sideband.benchmarks.events import task
from sideband.benchmarks.grid import suite as suites
from sideband.infer import events, provenance
from tests.conftest import OWN, Outcome

ROOT = Path(__file__).parents[2]
Command = Callable[..., Outcome]
Own = Callable[..., Path]

SEARCH: dict[str, Any] = {
    "about": "own events",
    "dataset": OWN,
    "mass_range": [2000, 6000],
    "windows": [[3300, 3700]],
    "seeds": [1],
    "methods": {"cathode": {}, "cwola": {}},
}


@pytest.fixture
def own(tmp_path: Path, toy_events: Callable[..., Path]) -> Own:
    """Writes a suite of own events; keyword arguments change its sections, or the dataset's keys."""
    toy_events(tmp_path / "own.h5", 8000, 800, label="is_signal")

    def write(dataset: dict[str, Any] | None = None, **sections: Any) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(SEARCH | {"dataset": OWN | (dataset or {})} | sections))
        return path

    return write


def test_tasks_of_own_events(command: Command, own: Own, tmp_path: Path) -> None:
    suite, out = own(), tmp_path / "task.h5"
    assert command("benchmarks", "task", suite, "--out", out).status == 0
    read = task.read(out)
    assert (read.mass, read.features) == ("m_vis", {"width": 1, "n_tracks": 1, "charge": 1})
    assert (read.units["m_vis"], read.labelled) == ("GeV", False)
    suite = own({"label": "is_signal"}, injections=[0, 150], validation_windows=[[2600, 3000]])
    done = command("benchmarks", "task", suite, "--out", out, "--injection", "n150", "--window", "2600-3000")
    assert (done.status, done.err) == (0, "")
    assert task.read(out).attributes["injection"] == 150
    assert task.read(out).window == (2600, 3000)


def test_control_and_evaluate_write_records(command: Command, small_task: Path, tmp_path: Path) -> None:
    out = tmp_path / "control.json"
    assert command("benchmarks", "control", "--task", small_task, "--closure-events", 300, "--out", out).status == 0
    assert events.read_json(out)["floor"]["events"] == 300
    with h5py.File(tmp_path / "scores.h5", "w") as file:
        number = len(task.read(small_task).events("test"))
        file["score"], file["clamped"] = np.arange(number), np.zeros(number)
    arguments = ("--task", small_task, "--scores", tmp_path / "scores.h5", "--out", out)
    assert command("benchmarks", "evaluate", *arguments).status == 0
    assert events.read_json(out)["sic"]["n_background"] > 0


def test_windows_of_negative_masses(command: Command, own: Own, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "own.h5", "a") as file:
        file["m_vis"][:] = (file["m_vis"][:] - 3500) / 100
    suite = own(mass_range=[-15, 25], windows=[[-2, 2], [-3, -1]])
    for window, edges in (("-2-2", (-2, 2)), ("-3--1", (-3, -1))):
        for given in (("--window", window), (f"--window={window}",)):
            assert command("benchmarks", "task", suite, *given, "--out", tmp_path / "task.h5").status == 0
            assert task.read(tmp_path / "task.h5").window == edges
            assert task.read(tmp_path / "task.h5").cell()["window"] == window
            (tmp_path / "task.h5").unlink()


def change(path: Path, **columns: Any) -> None:
    """Replace or remove columns of own events; a pair is a row and its value."""
    with h5py.File(path, "a") as file:
        for name, value in columns.items():
            if value is None:
                del file[name]
            elif isinstance(value, tuple):
                file[name][value[0]] = value[1]
            else:
                unit = file[name].attrs.get("unit")
                del file[name]
                file[name] = value
                if unit:
                    file[name].attrs["unit"] = unit


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"width": None}, "no column 'width' (columns there: charge, is_signal, m_vis, n_tracks)"),
        ({"width": (17, np.nan)}, "column 'width' holds 1 NaN or infinite values (first: row 17); drop those events"),
        ({"m_vis": (3, np.inf)}, "column 'm_vis' holds 1 NaN or infinite values (first: row 3)"),
        ({"charge": np.zeros(10)}, "columns of unequal length"),
        ({"charge": np.array([b"+"] * 8800)}, "column 'charge' is not an array of numbers"),
    ],
)
def test_wrong_columns_are_refused(
    command: Command, own: Own, tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    change(tmp_path / "own.h5", **columns)
    line = command("benchmarks", "task", own(), "--out", tmp_path / "task.h5").refused()
    assert f"{tmp_path / 'own.h5'}: {said}" in line
    assert not (tmp_path / "task.h5").exists()


@pytest.mark.parametrize(
    ("dataset", "sections", "said"),
    [
        ({"features": ["width", "tracks"]}, {}, "no column 'tracks'"),
        ({"features": ["width", "is_signal"], "label": "is_signal"}, {}, "'is_signal' is the label column"),
        ({"features": ["width", "m_vis"]}, {}, "'m_vis' is the mass column"),
        ({"mass": {"column": "m_vis", "unit": "TeV"}}, {}, "'m_vis' is in GeV, the suite says TeV"),
        ({"data": "absent.h5"}, {}, "absent.h5: no such file"),
        ({"mas": "m_vis"}, {}, "dataset: Additional properties are not allowed ('mas' was unexpected)"),
        ({}, {"windows": [[3300, 3300.1]]}, "the window 3300-3300.1 GeV holds"),
        ({}, {"windows": [[2000.1, 3700]]}, "the sideband below 2000.1 GeV holds"),
        ({}, {"windows": [[3300, 5999]]}, "the sideband above 5999 GeV holds"),
        ({}, {"windows": [[1900, 3700]]}, "does not lie inside mass_range"),
        ({}, {"mass_range": [2.0, 6.0], "windows": [[3.3, 3.7]]}, "masses look to be in GeV"),
        ({}, {"methods": {"cathod": {}}}, "unknown method 'cathod'"),
        ({}, {"method": {"cathode": {}}}, "'method' was unexpected"),
        ({}, {"injections": [100]}, "these events have no labels"),
        ({"label": "is_signal"}, {"injections": [100_000]}, "injection 100000: only"),
    ],
)
def test_wrong_suites_are_refused(
    command: Command, own: Own, tmp_path: Path, dataset: dict[str, Any], sections: dict[str, Any], said: str
) -> None:
    suite = own(dataset, **sections)
    assert said in command("benchmarks", "task", suite, "--out", tmp_path / "task.h5").refused()
    assert {path.name for path in tmp_path.iterdir()} == {"own.h5", "mine.yaml"}


@pytest.mark.parametrize(
    ("dataset", "sections", "said"),
    [
        ({}, {"windows": [[3300, 3700], [5999.8, 5999.9]]}, "the window 5999.8-5999.9 GeV holds 0 events"),
        (
            {},
            {"windows": [[3300, 3700]], "validation_windows": [[2000.1, 2000.2]]},
            "the window 2000.1-2000.2 GeV holds",
        ),
        ({}, {"injections": [100]}, "these events have no labels"),
        ({"label": "is_signal"}, {"injections": [0, 100_000]}, "injection 100000: only"),
        ({}, {"methods": {"cwola": {"strips": 3}}}, "methods.cwola: unknown setting 'strips'; there are: strip"),
    ],
)
def test_validate_and_run_refuse_what_no_task_can_be_drawn_of(
    command: Command, own: Own, tmp_path: Path, dataset: dict[str, Any], sections: dict[str, Any], said: str
) -> None:
    suite, runs = own(dataset, **sections), tmp_path / "runs"
    line = command("benchmarks", "validate", suite).refused()
    assert said in line
    assert command("benchmarks", "run", suite, "--runs", runs).refused() == line
    assert not runs.exists()


def test_a_run_whose_events_change_draws_no_further_task(command: Command, own: Own, tmp_path: Path) -> None:
    suites.load(own()).save(tmp_path / "suite.json")
    out = tmp_path / "task.h5"
    assert command("benchmarks", "task", tmp_path / "suite.json", "--out", out).status == 0
    out.unlink()
    change(tmp_path / "own.h5", width=(0, 0.5))
    line = command("benchmarks", "task", tmp_path / "suite.json", "--out", out).refused()
    assert "suite.json: the files of its events have changed since the run began; run the suite again" in line
    assert not out.exists()


@pytest.mark.parametrize("wrong", [{"--window": "3.3-3.7"}, {"--injection": "n5"}, {"--seed": "s9"}])
def test_places_outside_the_grid_are_refused(command: Command, own: Own, tmp_path: Path, wrong: dict[str, str]) -> None:
    ((option, value),) = wrong.items()
    line = command("benchmarks", "task", own(), option, value, "--out", tmp_path / "task.h5").refused()
    assert value in line


def test_truncated_events_are_refused(command: Command, own: Own, tmp_path: Path) -> None:
    path = tmp_path / "own.h5"
    path.write_bytes(path.read_bytes()[:-50_000])
    assert "truncated" in command("benchmarks", "task", own(), "--out", tmp_path / "task.h5").refused()


def test_unwritable_places_are_refused(command: Command, own: Own, tmp_path: Path) -> None:
    suite = own()
    for place in ("own.h5/task.h5", "own.h5/deeper/task.h5"):
        assert "cannot be written" in command("benchmarks", "task", suite, "--out", tmp_path / place).refused()
    assert "cannot be written" in command("benchmarks", "run", suite, "--runs", tmp_path / "own.h5").refused()


def test_unknown_suites_are_refused(command: Command, tmp_path: Path) -> None:
    for verb in (("run", "fast", "--runs", tmp_path), ("task", "fast", "--out", tmp_path / "task.h5")):
        assert "suite 'fast': no such file, and none of accept" in command("benchmarks", *verb).refused()
    assert "no such file" in command("benchmarks", "report", tmp_path).refused()
    assert not list(tmp_path.iterdir())


def test_no_input_is_overwritten(command: Command, own: Own, small_task: Path, tmp_path: Path) -> None:
    inputs = {"task": tmp_path / "t.h5", "scores": tmp_path / "s.h5", "template": tmp_path / "m.h5"}
    for path in inputs.values():
        path.write_bytes(small_task.read_bytes())
    suite, data = own(), tmp_path / "own.h5"
    (tmp_path / "again.h5").hardlink_to(data)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    given = [word for name, path in inputs.items() for word in (f"--{name}", path)]
    for words in (
        ("task", suite, "--out", suite),
        ("task", suite, "--out", data),
        ("task", suite, "--out", tmp_path / "again.h5"),
        ("control", "--task", inputs["task"], "--out", inputs["task"]),
        *(("evaluate", *given, "--out", path) for path in inputs.values()),
    ):
        line = command("benchmarks", *words).refused()
        assert f"{words[-1]}: is an input of this command" in line
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("verb", [("showers",), ("generate", "qcd")])
def test_figures_need_a_folder_of_their_own(command: Command, tmp_path: Path, verb: tuple[str, ...]) -> None:
    (tmp_path / "taken").touch()
    for name in ("plain", "taken.h5"):
        line = command("benchmarks", *verb, "--events", 1, "--out", tmp_path / name).refused()
        assert "the folder of its figures would be" in line
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "smoke", "--cores", 0), "--cores: '0' is not a whole number from 1 to 1024"),
        (("run", "smoke", "--cores", -5), "--cores: '-5' is not a whole number from 1 to 1024"),
        (("evaluate", "--efficiencies", "nan"), "--efficiencies: 'nan' is not a number above 0"),
        (("evaluate", "--efficiencies", 0.1, 1), "--efficiencies: '1' is not a number above 0"),
        (("evaluate", "--efficiencies", 0), "--efficiencies: '0' is not a number above 0"),
        (("control", "--closure-events", 5), "--closure-events: '5' is not a whole number from 100"),
        (("showers", "--events", 10**9), "--events: '1000000000' is not a whole number from 1 to 1000000"),
        (("showers", "--seed", 2**63), "--seed: '9223372036854775808' is not a whole number from 0"),
        (("showers", "--lifetime", "inf"), "--lifetime: 'inf' is not a number above 0"),
        (("generate", "signal", "--mass", "nan"), "--mass: 'nan' is not a number above 0"),
    ],
)
def test_numbers_of_the_command_line_have_ranges(command: Command, words: tuple[object, ...], said: str) -> None:
    assert said in command("benchmarks", *words).refused()


@pytest.mark.skipif(bool(provenance.machine()["gpu"]), reason="a GPU is there")
def test_cuda_asked_for_and_absent_is_refused(command: Command, tmp_path: Path) -> None:
    line = command("benchmarks", "run", "smoke", "--device", "cuda", "--runs", tmp_path).refused()
    assert "cuda" in line.lower()
    assert not list(tmp_path.rglob("*.h5"))


def test_the_real_command_line_shows_no_traceback(own: Own, tmp_path: Path) -> None:
    change(tmp_path / "own.h5", width=(17, np.nan))
    command = [sys.executable, "-m", "sideband.benchmarks", "task", str(own()), "--out", str(tmp_path / "task.h5")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1

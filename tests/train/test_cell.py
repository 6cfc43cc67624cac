"""Fits by their command line: what is refused before any work, and what is left of what fails."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.events.tables import Dataset
from sideband.benchmarks.problems.search import draw
from sideband.benchmarks.tracking.journal import JOURNAL
from sideband.infer.errors import BadInput, GateFailed
from sideband.train import cell, saved, template
from sideband.train.cell import fit_cell
from sideband.train.methods import Fitted
from sideband.train.methods.search import cwola
from sideband.train.methods.shared import sideband
from tests.conftest import Outcome
from tests.train.conftest import FitOf
from tests.train.fits import same
from tests.train.test_files import largest_file

SUITE = """
about: small
dataset: {source: dijets}
mass_range: [2.3, 5.0]
windows: [[3.3, 3.7]]
injections: [600]
seeds: [1]
classifier: {members: 2, iterations: 5, bins: 15}
shared:
  sideband: {flow: {couplings: 1, hidden: 8, layers: 1}, training: {steps: 20, interval: 10, batch: 512, ema: 0.9}}
  matching: {net: {hidden: 8, blocks: 1}, training: {steps: 10}, likelihood_events: 10}
methods: {cathode: {}, cwola: {}, sigma: {steps: 2}}
"""

Fit = Callable[..., Outcome]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_task: Path) -> Path:
    """A folder to fit in, with a suite and a task."""
    monkeypatch.chdir(tmp_path)
    Path("suite.yaml").write_text(SUITE)
    shutil.copy(small_task, "task.h5")
    return tmp_path


@pytest.fixture
def fit(place: Path, command) -> Fit:
    """Runs `python -m train fit`."""

    def run(method: str, *given: object, out: object = "out", task: object = "task.h5") -> Outcome:
        files = ("--suite", "suite.yaml", "--task", task, "--out", out)
        return command("train", "fit", method, *files, "--log", "later", *given)

    return run


@pytest.fixture(scope="module")
def shared(small_task: Path, tmp_path_factory: pytest.TempPathFactory, fit_of: FitOf) -> Path:
    """A sideband fit, one of flow matching, and one that nothing stands on."""
    folder = tmp_path_factory.mktemp("shared")
    for method in ("sideband", "matching", "cwola"):
        fit_of(method, small_task, folder)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: files with their digests, and folders."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for name, path in found.items()
    }


def changed(path: Path, **attributes: object) -> Path:
    """A task that says something else of itself."""
    made = path.with_name("changed.h5")
    shutil.copy(path, made)
    with h5py.File(made, "a") as file:
        file.attrs.update(attributes)
    return made


# What a method stands on


@pytest.mark.parametrize(
    ("method", "needs", "words"),
    [
        ("cathode", [], "give --needs sideband=MODEL.PT"),
        ("cathode", ["sideband"], "--needs sideband: give NAME=MODEL.PT"),
        ("cathode", ["sideband=sideband", "sideband=sideband"], "'sideband' is given twice"),
        (
            "cathode",
            ["sideband=sideband", "matching=matching"],
            "'cathode' makes no use of that; it stands on sideband",
        ),
        ("cwola", ["sideband=sideband"], "'cwola' makes no use of that; it stands on no other fit"),
        ("cathode", ["sideband=cwola"], "is a fit of 'cwola'; give one of 'sideband'"),
        ("cathode", ["sideband=nowhere"], "no such file"),
    ],
)
def test_needs_are_the_fits_that_the_method_stands_on(
    method: str, needs: list[str], words: str, fit: Fit, shared: Path, place: Path
) -> None:
    before = contents(place)
    given = [
        f"{name}={shared / path / 'model.pt'}" for name, _, path in (need.partition("=") for need in needs) if path
    ]
    assert words in fit(method, "--needs", *(given or needs)).refused()
    assert contents(place) == before


def test_a_shared_fit_is_of_the_same_task(fit: Fit, shared: Path, place: Path) -> None:
    needs = f"sideband={shared / 'sideband' / 'model.pt'}"
    for attributes in ({"seed": 2}, {"dataset_sha256": "0" * 64}, {"injection": 601}, {"mass_range": [2.3, 5.1]}):
        task = changed(place / "task.h5", **attributes)
        line = fit("cathode", "--needs", needs, task=task).refused()
        assert (
            f"is not the task that {needs.partition('=')[2]} was fitted on (another {next(iter(attributes))})" in line
        )
        assert not (place / "out").exists()


def test_one_fit_for_every_window_is_taken_in_another_one(fit: Fit, shared: Path, place: Path, dijets: Dataset) -> None:
    few = replace(dijets, data=dijets.data[::20], background=dijets.background[::20], simulation=None)
    recipe = draw.Recipe((2.3, 5.0), (3.0, 3.4), injection=600, seed=1)
    draw.make(few, recipe, place / "other.h5")
    model = shared / "matching" / "model.pt"
    assert fit("sigma", "--needs", f"matching={model}", task="other.h5").status == 0
    line = fit("cathode", "--needs", f"sideband={shared / 'sideband' / 'model.pt'}", task="other.h5").refused()
    assert "another" in line
    assert "window" in line
    line = fit("sigma", "--needs", f"matching={model}", task=changed(place / "other.h5", seed=2)).refused()
    assert "(another seed)" in line


# Places


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("", "'' is not the name of a folder"),
        ("task.h5", "task.h5 is not a folder"),
        ("task.h5/inside", "task.h5 is not a folder"),
        ("/proc/inside", "cannot be written"),
        ("/dev/null", "is not a folder"),
        ("x" * 300, "cannot be written"),
        ("taken", "taken/model.pt: cannot be written (a folder is there)"),
        ("linked", "linked/fit.json: cannot be written (a symbolic link is there)"),
    ],
)
def test_places_that_cannot_be_written_are_refused_before_any_work(
    out: str, words: str, fit: Fit, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cwola, "fit", None)
    (place / "taken" / "model.pt").mkdir(parents=True)
    (place / "linked").mkdir()
    (place / "linked" / "fit.json").symlink_to(place / "elsewhere")
    before = contents(place)
    assert words in fit("cwola", out=out).refused()
    assert contents(place) == before


def test_no_output_is_an_input(fit: Fit, shared: Path, place: Path, command) -> None:
    shutil.copytree(shared / "sideband", "sideband")
    before = contents(place)
    line = fit("cathode", "--needs", "sideband=sideband/model.pt", out="./sideband").refused()
    assert "sideband/model.pt: is an input of this command" in line
    for name in ("fit.json", "template_torch.h5"):
        os.link("task.h5", name)
        assert f"{name}: is an input of this command (task.h5)" in fit("cwola", out=".").refused()
        os.unlink(name)
    os.link("suite.yaml", JOURNAL)
    assert f"{JOURNAL}: is an input of this command (suite.yaml)" in fit("cwola", out=".").refused()
    os.unlink(JOURNAL)
    assert contents(place) == before


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (".", "holds other files than checkpoints"),
        ("out", "is the folder of the results"),
        ("task.h5", "is not a folder"),
        ("", "is not the name of a folder"),
    ],
)
def test_checkpoints_take_no_folder_of_others(folder: str, words: str, fit: Fit, place: Path) -> None:
    """It is removed in the end."""
    before = contents(place)
    assert words in fit("cwola", "--checkpoints", folder).refused()
    assert contents(place) == before


@pytest.mark.parametrize(
    "given", [("--threads", "0"), ("--threads", "-1"), ("--threads", "1025"), ("--checkpoint-seconds", "nan")]
)
def test_numbers_out_of_their_range_are_refused(given: tuple[str, str], fit: Fit, place: Path) -> None:
    assert f"argument {given[0]}: '{given[1]}' is not a whole number" in fit("cwola", *given).refused()
    assert not (place / "out").exists()


# What fails


@pytest.mark.parametrize("size", [0, 2000, 8000, 20_000])
def test_a_full_disk_leaves_nothing(size: int, fit: Fit, shared: Path, place: Path) -> None:
    before = contents(place)
    with largest_file(size):
        line = fit("cathode", "--needs", f"sideband={shared / 'sideband' / 'model.pt'}", out="new/out").refused()
    assert "cannot be written (File too large)" in line
    assert contents(place) == before


def test_a_full_disk_costs_no_work_that_is_worth_keeping(fit: Fit, shared: Path, place: Path) -> None:
    given = ("--needs", f"sideband={shared / 'sideband' / 'model.pt'}", "--checkpoint-seconds", "0")
    with largest_file(20_000):
        fit("cathode", *given).refused()
    assert {path.name for path in (place / "out").iterdir()} == {"checkpoints"}
    kept = (place / "out" / "checkpoints" / "classifier-0.npz").stat().st_mtime_ns
    assert kept
    assert fit("cathode", *given).status == 0
    assert fit("cathode", *given[:2], out="whole").status == 0
    assert same(*(torch.load(place / name / "model.pt", weights_only=True) for name in ("out", "whole")))
    assert not (place / "out" / "checkpoints").exists()


@pytest.mark.parametrize("earlier", [True, False])
def test_a_fit_that_is_not_finite_leaves_no_model(
    earlier: bool, fit: Fit, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if earlier:
        assert fit("sideband").status == 0
        Path("suite.yaml").write_text(SUITE.replace("steps: 20", "steps: 10"))
    before = contents(place)
    whole = sideband.fit

    def spoilt(*given: object) -> Fitted:
        fitted = whole(*given)
        fitted.modules["density"].preprocess.scale[0] = np.nan
        return fitted

    monkeypatch.setattr(sideband, "fit", spoilt)
    done = fit("sideband", "--checkpoint-seconds", "10")
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.startswith("failed: sideband: 'preprocess.scale' of its density is not finite; look for odd values")
    left = contents(place)
    assert ("out/model.pt" in left) == earlier
    for name in ("out/model.pt", "out/fit.json"):
        assert left.get(name) == before.get(name)


def test_a_template_that_is_not_finite_fails(small_task: Path, shared: Path, tmp_path: Path) -> None:
    fit, task = saved.load(shared / "sideband" / "model.pt"), tasks.read(small_task)
    preprocess = fit.modules["density"].preprocess
    preprocess.low.fill_(3e38)  # finite, and nothing that comes of it is
    preprocess.width.fill_(3e38)
    made = cell.methods.load("cathode").build(None, 5, {"sideband": fit.settings})["template"]
    made.density = fit.modules["density"]
    with pytest.raises(GateFailed, match=r"cathode: .* events of its template are not finite"):
        template.draw(made, task, "cathode", torch.device("cpu"), tmp_path)


def test_a_task_with_hardly_an_event_is_refused(fit: Fit, place: Path) -> None:
    with h5py.File("task.h5", "a") as file:
        mass = file["data/m_jj"][:]
        inside = np.flatnonzero((mass > np.float32(3.3)) & (mass < np.float32(3.7)))
        mass[inside[99:]] = 3.0
        file["data/m_jj"][:] = mass
    before = contents(place)
    assert "task.h5: holds 99 events in the window, and 100 are needed" in fit("cwola").refused()
    assert contents(place) == before


def test_sources_and_events_that_are_not_there_are_missed_before_hours_of_training(
    small_task: Path, shared: Path, tmp_path: Path
) -> None:
    task = tmp_path / "task.h5"
    shutil.copy(small_task, task)
    with h5py.File(task, "a") as file:
        del file["simulation"]
    with pytest.raises(BadInput, match="needs 'simulation' events as its source"):
        fit_cell("salad", task, tmp_path / "out", {}, {}, {})
    with pytest.raises(BadInput, match=r"methods\.cwola\.strip: no events"):
        fit_cell("cwola", task, tmp_path / "out", {"strip": 1e-9}, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["task.h5"]


def test_the_journal_of_a_fit_says_where_it_ran(fit: Fit, place: Path) -> None:
    assert fit("cwola", "--threads", "2").status == 0
    torch.set_num_threads(1)
    kinds = [json.loads(line) for line in (place / "out" / JOURNAL).read_text().splitlines()]
    assert [line["kind"] for line in kinds] == ["cell", "tags", "metrics"]
    assert kinds[1]["values"]["threads"] == "2"
    assert kinds[0]["time"] <= kinds[2]["time"]

"""A template in parts: bitwise the one in one piece, made again only where something is missing or changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.benchmarks.grid import produce
from sideband.infer import events, template
from sideband.infer.model import Model
from tests.conftest import Outcome
from tests.line.conftest import Ran

Command = Callable[..., Outcome]
TASK = Path("3.3-3.7/n300/s1/task.h5")
COUNT, PART = 5500, 2000


@pytest.fixture
def model(smoke: Ran, tmp_path: Path) -> Path:
    """An exported template by itself, so that a test may change it."""
    source = smoke.folder / TASK.with_name("cathode")
    for name in ("template.onnx", "export.json"):
        shutil.copy(source / name, tmp_path / name)
    return tmp_path / "template.onnx"


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.h5")}


def test_parts_are_bitwise_the_one_piece_and_made_once(
    smoke: Ran, model: Path, tmp_path: Path, command: Command
) -> None:
    task, out, whole = smoke.folder / TASK, tmp_path / "template.h5", tmp_path / "whole.h5"
    given = ["produce", model, "--task", task, "--part-events", PART, "--out", out, "--seed", 7, "--cores", 2]
    done = command("benchmarks", *given, "--count", COUNT)
    assert (done.status, done.out.splitlines()[-1]) == (0, f"{out}: 5,500 events in 3 parts")
    template.generate(Model(model), task, whole, COUNT, 7)
    with h5py.File(out) as ours, h5py.File(whole) as theirs:
        assert set(ours) == set(theirs)
        assert events.attributes(ours) == events.attributes(theirs)
        for name in theirs:
            assert ours[name].is_virtual
            np.testing.assert_array_equal(ours[name][:], theirs[name][:])

    folder = tmp_path / "template.h5.parts"
    first = times(folder)
    assert sorted(first) == ["0000000000000.h5", "0000000002000.h5", "0000000004000.h5"]
    model.touch()  # what is exported anew is often the same
    (folder / "0000000002000.h5").unlink()
    assert command("benchmarks", *given, "--count", COUNT).status == 0
    again = times(folder)
    assert {name for name in first if again[name] != first[name]} == {"0000000002000.h5"}

    assert command("benchmarks", *given, "--count", 2 * PART).status == 0  # fewer events need no new part
    assert times(folder) == again
    with h5py.File(out) as ours, h5py.File(whole) as theirs:
        np.testing.assert_array_equal(ours["m_jj"][:], theirs["m_jj"][: 2 * PART])


def test_another_model_makes_all_parts_again(smoke: Ran, model: Path, tmp_path: Path, command: Command) -> None:
    given = ["produce", model, "--task", smoke.folder / TASK, "--part-events", PART, "--out", tmp_path / "template.h5"]
    assert command("benchmarks", *given, "--count", COUNT).status == 0
    first = times(tmp_path / "template.h5.parts")
    for name in ("template.onnx", "export.json"):
        shutil.copy(smoke.folder / TASK.with_name("transit") / name, tmp_path / name)
    shutil.copy(smoke.folder / TASK.with_name("transit") / "template.onnx", model)
    assert command("benchmarks", *given, "--count", COUNT).status == 0
    again = times(tmp_path / "template.h5.parts")
    assert not [name for name in first if again[name] == first[name]]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model": "score.onnx"}, "score.onnx: is a 'score' graph, not a template"),
        ({"model": "nothing.onnx"}, "nothing.onnx"),
        ({"--task": "template.onnx"}, "template.onnx"),
        ({"--part-events": 0}, "--part-events: '0' is not a whole number"),
        (
            {"--count": 10**9, "--part-events": 1000},
            "10,000 are the most; give at least 100000",
        ),
        ({"--out": "template.onnx"}, "template.onnx"),
        ({"--profile": "nowhere"}, "--profile nowhere: no folder with a config.yaml"),
    ],
)
def test_mistakes_are_told_before_any_part_is_made(
    changes: dict[str, object], line: str, smoke: Ran, model: Path, command: Command
) -> None:
    shutil.copy(smoke.folder / TASK.with_name("cathode") / "score.onnx", model.with_name("score.onnx"))
    given = {"model": model, "--task": smoke.folder / TASK, "--count": COUNT, "--out": model.with_name("out.h5")}
    given |= {
        key: model.with_name(value) if isinstance(value, str) and "." in value else value
        for key, value in changes.items()
    }
    words = [given.pop("model"), *(word for pair in given.items() for word in pair)]
    assert line in command("benchmarks", "produce", *words).refused()
    assert not model.with_name("out.h5.parts").exists()


def test_parts_that_fail_are_told_on_one_line(
    smoke: Ran, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setattr(produce, "_try", lambda *given: None)
    model.write_bytes(b"nothing")
    given = ["--task", smoke.folder / TASK, "--count", COUNT, "--part-events", PART, "--out", tmp_path / "out.h5"]
    done = command("benchmarks", "produce", model, *given)
    assert done.status == 1
    (told,) = done.err.splitlines()
    assert told.startswith("part and 2 more steps: error: ")
    assert not (tmp_path / "out.h5").exists()

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnxruntime
import pytest

from sideband.infer import events
from tests.conftest import Outcome
from tests.infer import graphs
from tests.infer.conftest import MASSES

ROOT = Path(__file__).parents[2]
Command = Callable[..., Outcome]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return graphs.template(tmp_path / "template.onnx")


@pytest.fixture
def score(tmp_path: Path) -> Path:
    return graphs.score(tmp_path / "score.onnx")


def test_template_and_score(command: Command, template: Path, score: Path, toy_task: Path, tmp_path: Path) -> None:
    made, scores = tmp_path / "deep" / "template.h5", tmp_path / "scores.h5"
    done = command("infer", "template", template, "--task", toy_task, "--out", made, "--count", 1500)
    assert (done.status, done.err) == (0, "")
    done = command("infer", "score", score, "--events", made, "--out", scores, "--threads", 1)
    assert (done.status, done.err) == (0, "")
    assert len(events.read(scores, ["score"])["score"]) == 1500


def test_a_template_in_parts(command: Command, template: Path, toy_task: Path, tmp_path: Path) -> None:
    parts = [tmp_path / f"part{index}.h5" for index in range(3)]
    for path, first in zip(parts, ("0", "700", "1400"), strict=True):
        command("infer", "template", template, "--task", toy_task, "--out", path, "--first", first, "--count", 700)
    out = tmp_path / "template.h5"
    refused = command("infer", "gather", parts[0], parts[2], "--out", out).refused()
    assert refused == "error: 700 events from event 700 on are in no part; make them with --first 700 --count 700"
    done = command("infer", "gather", *parts, "--out", out, "--count", 2100)
    assert (done.status, done.out) == (0, f"{out}: 2,100 events in 3 parts\n")
    parts[1].unlink()
    scores = ("infer", "score", graphs.score(tmp_path / "score.onnx"), "--events", out, "--out", tmp_path / "scores.h5")
    assert "part1.h5: no such file" in command(*scores).refused()


def test_a_template_that_torch_did_not_make_is_removed(
    command: Command, template: Path, toy_task: Path, tmp_path: Path
) -> None:
    made, expected = tmp_path / "made.h5", tmp_path / "torch.h5"
    arguments = ("infer", "template", template, "--task", toy_task, "--out")
    assert command(*arguments, expected).status == 0
    assert command(*arguments, made, "--expect", expected).status == 0
    assert made.exists()
    with h5py.File(expected, "a") as file:
        file["x"][MASSES - 1] += 1
    done = command(*arguments, made, "--expect", expected)
    assert done.status == 1
    assert done.err.startswith("failed: ")
    assert done.err.count("\n") == 1
    assert not made.exists()


def test_describe(command: Command, score: Path) -> None:
    graphs.score(score, means={"meaning": "twice x", "range": [0, None]}, mass="m", mass_unit="TeV")
    done = command("infer", "describe", score)
    assert done.status == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "features [N, 2] x TeV 0 to 1" in lines
    assert "y 0 to 1" in lines
    assert "score [N, 1] score twice x: 0 or more" in lines
    assert "window 3.3 to 3.7 TeV of m, fitted in 2.3 to 5 TeV" in lines
    assert events.sha256(score) in done.out


def test_describe_for_programs(command: Command, score: Path) -> None:
    told = json.loads(command("infer", "describe", score, "--json").out)
    assert (told["role"], told["window"], told["sha256"]) == ("score", [3.3, 3.7], events.sha256(score))


def test_check_tells_each_file_s_state(command: Command, score: Path) -> None:
    vectors = graphs.check_vectors(score)
    done = command("infer", "check", score)
    assert done.status == 0
    assert "score reproduced" in done.out
    with np.load(vectors) as stored:
        content = dict(stored)
    content["score.output.score"][7] += 0.1
    np.savez(vectors, **content)
    done = command("infer", "check", score)
    assert done.status == 1
    assert "NOT REPRODUCED" in done.out


def test_throughput_writes_its_rows(command: Command, score: Path, toy_task: Path, tmp_path: Path) -> None:
    quick = ("--batches", 100, "--threads", 1, "--repeats", 3, "--seconds", 0.01, "--file-events", 1000)
    done = command("infer", "throughput", score, "--task", toy_task, "--out", tmp_path / "t.json", *quick)
    assert done.status == 0
    assert [row["scope"] for row in events.read_json(tmp_path / "t.json")] == ["graph", "host", "file"]
    assert done.out.count("events/s") == 3


USED = """
import sys
import numpy, onnxruntime
def names():
    return {name.partition(".")[0] for name in sys.modules}
before = names()
from infer.__main__ import main  # as it is where the folder was copied to
sys.argv = ["infer", "check", sys.argv[1]]
assert main() == 0
print(*names() - before - sys.stdlib_module_names)
"""


def test_check_needs_numpy_and_onnxruntime_alone(score: Path) -> None:
    graphs.check_vectors(score)
    done = subprocess.run(
        [sys.executable, "-c", USED, str(score)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.splitlines()[-1].split()) == {"infer"}


def test_a_command_killed_at_any_moment_goes_on(template: Path, toy_task: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    count = 2_000_000
    arguments = [sys.executable, "-m", "sideband.infer", "template", str(template), "--task", str(toy_task)]
    arguments += ["--count", str(count), "--out"]
    done_path = tmp_path / ".out.h5.done"
    with subprocess.Popen([*arguments, str(out)], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (done_path.exists() and b"\1" in done_path.read_bytes()[32:]):
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    for path in (out, whole):
        subprocess.run([*arguments, str(path)], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("verb", ["template", "score", "throughput", "describe", "check"])
def test_a_file_that_is_not_ours_is_refused(command: Command, verb: str, toy_task: Path, tmp_path: Path) -> None:
    path, out = graphs.foreign(tmp_path / "model.onnx"), tmp_path / "out"
    rest = {
        "template": ("--task", toy_task, "--out", out),
        "score": ("--events", toy_task, "--group", "data", "--out", out),
        "throughput": ("--task", toy_task, "--out", out),
    }
    assert "not one of Sideband's" in command("infer", verb, path, *rest.get(verb, ())).refused()
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is there")
def test_cuda_asked_for_and_absent_is_refused(
    command: Command, template: Path, score: Path, toy_task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5"
    for arguments in (
        ("template", template, "--task", toy_task, "--out", out),
        ("score", score, "--events", toy_task, "--group", "data", "--out", out),
        ("throughput", score, "--task", toy_task),
    ):
        line = command("infer", *arguments, "--provider", "cuda").refused()
        assert "CUDAExecutionProvider was asked for" in line
        assert "--provider cpu" in line
    assert not out.exists()


def damaged(task: Path, path: Path, change: str) -> Path:
    path.write_bytes(task.read_bytes())
    if change == "truncated":
        path.write_bytes(path.read_bytes()[:-20_000])
        return path
    with h5py.File(path, "a") as file:
        if change == "renamed":
            file.move("data/x", "data/ex")
        else:
            file["data/x"][4321] = {"nan": np.nan, "infinite": np.inf}[change]
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("truncated", "truncated"),
        ("renamed", "no column 'x' in '/data'"),
        ("nan", "column 'x' holds 1 NaN or infinite values (first: row 4321)"),
        ("infinite", "column 'x' holds 1 NaN or infinite values (first: row 4321)"),
    ],
)
def test_damaged_events_are_refused_and_leave_nothing(
    command: Command, toy_task: Path, tmp_path: Path, score: Path, change: str, said: str
) -> None:
    path, out = damaged(toy_task, tmp_path / "task.h5", change), tmp_path / "out.h5"
    assert said in command("infer", "score", score, "--events", path, "--group", "data", "--out", out).refused()
    morphing = graphs.morphing(tmp_path / "template.onnx")
    assert said in command("infer", "template", morphing, "--task", path, "--out", out).refused()
    assert not out.exists()


def test_an_unwritable_place_is_refused(
    command: Command, template: Path, score: Path, toy_task: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for place in ("file/out.h5", "folder"):
        out = ("--out", tmp_path / place)
        assert "cannot be written" in command("infer", "template", template, "--task", toy_task, *out).refused()
        arguments = ("--events", toy_task, "--group", "data", *out)
        assert "cannot be written" in command("infer", "score", score, *arguments).refused()


def test_nothing_is_kept_in_the_home_folder_for_anybody(score: Path, tmp_path: Path) -> None:
    # ONNX Runtime's official builds gather telemetry there unless they are told not to.
    home = tmp_path / "home"
    home.mkdir()
    telling = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in telling}
    command = [sys.executable, "-m", "sideband.infer", "describe", str(score)]
    subprocess.run(command, cwd=ROOT, env=environment | {"HOME": str(home)}, stdout=subprocess.DEVNULL, check=True)
    assert not list(home.rglob("*"))


def test_the_real_command_line_shows_no_traceback(score: Path, tmp_path: Path) -> None:
    arguments = ["infer", "score", str(score), "--events", "absent.h5", "--out", str(tmp_path / "out.h5")]
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: absent.h5: no such file\n"

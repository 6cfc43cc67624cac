"""A few hundred cases of the fuzzing suite, and tests that its verdicts recognise wrong outcomes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import kinds
from tests.fuzz.verdict import Case, Ran, judge, snapshot

CASES, SEED = 300, 13

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the forking server needs Linux")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Verdicts of all cases, from a server in another process, because this one may have threads."""
    record = tmp_path_factory.mktemp("fuzz") / "verdicts"
    command = ["-m", "tests.fuzz", "--cases", str(CASES), "--seed", str(SEED), "--record", str(record)]
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, *command], cwd=root, capture_output=True, text=True, check=False)
    assert record.exists(), done.stderr
    return [json.loads(line) for line in record.read_text().splitlines()]


@pytest.mark.parametrize("kind", [kind.name for kind in kinds.KINDS])
def test_cases_end_right_or_in_one_line_that_changes_nothing(verdicts: list[dict[str, Any]], kind: str) -> None:
    found = [verdict for verdict in verdicts if verdict["kind"] == kind]
    wrong = [f"{each['number']} ({each['what']}): {each['problem']}" for each in found if each["problem"]]
    assert not wrong, "\n".join([*wrong, f"python -m tests.fuzz --seed {SEED} --keep DIR --only NUMBER"])
    assert found or kind == "records", "no case of this kind among so few"


def test_every_number_has_its_verdict(verdicts: list[dict[str, Any]]) -> None:
    assert sorted(verdict["number"] for verdict in verdicts) == list(range(CASES))
    assert {0, 2} <= {verdict["status"] for verdict in verdicts}


REFUSED = Ran(2, "", "error: task.h5: no such file\n", 0.1, 100.0)
DONE = Ran(0, "out.h5: scores of score.onnx on cpu\n", "", 0.1, 100.0)
CASE = Case("score", ("infer", "score"), ("out.h5", "made/here"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task.h5").write_text("an input")
    return tmp_path


def test_right_ends(folder: Path) -> None:
    before = snapshot(folder)
    assert judge(CASE, REFUSED, before, snapshot(folder)) == ""
    (folder / "made").mkdir()
    for name in ("out.h5", "made/here"):
        (folder / name).write_text("an output")
    assert judge(CASE, DONE, before, snapshot(folder)) == ""


@pytest.mark.parametrize(
    ("ran", "says"),
    [
        (replace(REFUSED, err="error: a\nerror: b\n"), "stderr of a refusal"),
        (replace(REFUSED, err="usage: infer\n"), "stderr of a refusal"),
        (
            replace(
                REFUSED, err='Traceback (most recent call last):\n  File "/x/infer/a.py", line 3, in f\nKeyError: 1\n'
            ),
            "infer/a.py:3 f: KeyError: 1",
        ),
        (replace(REFUSED, out="out.h5: scores of score.onnx\n"), "claims"),
        (replace(REFUSED, memory=2000.0), "2000 MiB"),
        (replace(REFUSED, seconds=11.0), "11.0 s"),
        (replace(REFUSED, err="error: not enough memory (Unable to allocate 8 GiB)\n"), "too much memory"),
        (replace(REFUSED, status=1), "status 1 in place of 0"),
        (replace(DONE, status=139), "status 139"),
        (replace(DONE, err="[E:onnxruntime] no\n"), "foreign line"),
    ],
)
def test_wrong_ends(folder: Path, ran: Ran, says: str) -> None:
    there = snapshot(folder)
    assert says in judge(CASE, ran, there, there)


@pytest.mark.parametrize("ran", [REFUSED, DONE])
def test_changes_of_what_is_no_output(folder: Path, ran: Ran) -> None:
    before = snapshot(folder)

    def found() -> str:
        return judge(CASE, ran, before, snapshot(folder))

    (folder / ".out.h5.part").write_text("half")
    assert ".out.h5.part" in found()
    (folder / ".out.h5.part").unlink()
    (folder / "empty").mkdir()
    assert "empty" in found()
    (folder / "empty").rmdir()
    (folder / "other").write_text("an input")  # the same bytes, and another file
    (folder / "other").replace(folder / "task.h5")
    assert "task.h5" in found()


def test_a_result_that_is_not_right(folder: Path) -> None:
    there = snapshot(folder)
    wrong = replace(CASE, right=lambda ran: "scores are off")
    assert judge(wrong, DONE, there, there) == "scores are off"
    assert "status 0 in place of 2" in judge(replace(CASE, statuses=frozenset({2})), DONE, there, there)


def test_a_number_is_always_the_same_case() -> None:
    assert [kinds.of(1, number).name for number in range(20)] == [kinds.of(1, number).name for number in range(20)]
    assert len({kinds.of(1, number).name for number in range(500)}) == len(kinds.KINDS)

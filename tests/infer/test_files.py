import fcntl
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from sideband.infer import events
from sideband.infer.errors import BadInput


def test_json_round_trip(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None], "ε": "√"}
    events.write_json(tmp_path / "new" / "r.json", content)
    assert events.read_json(tmp_path / "new" / "r.json") == content


def test_atomic_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_text("old")

    def breaks() -> None:
        with events.atomic(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with events.atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file/out.h5", "file/deeper/out.h5", "folder"])
def test_atomic_refuses_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="cannot be written"), events.atomic(tmp_path / place) as temporary:
        temporary.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_two_writers_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside, most, gate = 0, 0, threading.Barrier(4)

    def work() -> None:
        nonlocal inside, most
        gate.wait()
        for _ in range(20):
            with events.sole_writer(tmp_path / "out.h5"):
                inside += 1
                most = max(most, inside)
                threading.Event().wait(0.001)
                inside -= 1

    writers = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()
    assert most == 1
    assert "waiting: another process is writing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


HOLDER = """
import sys
from sideband.infer import events
with events.sole_writer(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    script = HOLDER.replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])")
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        def write() -> None:
            with events.atomic(path) as temporary:
                temporary.write_text("written")

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert not path.exists()
        holder.kill()
        writer.join(10)
        assert not writer.is_alive()
    assert path.read_text() == "written"


def test_the_former_owner_may_remove_its_lock_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = tmp_path / "out.h5", tmp_path / ".out.h5.lock"
    locked: list[int] = []
    flock = fcntl.flock

    def removed_once(handle: IO[str], how: int) -> None:
        flock(handle, how)
        if not locked:
            lock.unlink()
        locked.append(how)

    monkeypatch.setattr(fcntl, "flock", removed_once)
    monkeypatch.setattr(Path, "exists", lambda self: True)  # so it was when last looked at
    with events.sole_writer(path):
        assert lock in tmp_path.iterdir()
    assert len(locked) == 2

import resource
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer import events
from sideband.infer.errors import BadInput


def columns_of(start: int, size: int) -> events.Columns:
    rows = np.arange(start, start + size)
    return {"a": np.sin(rows).astype(np.float32), "b": (rows % 97).astype(np.float32)}


def stream(path: Path, total: int = 1234, chunk: int = 100, **identity: object) -> events.Stream:
    return events.Stream(path, ["a", "b"], total, chunk, {"seed": 1, **identity}, {"a": "TeV"})


def quiet(finished: int, total: int) -> None:
    pass


@pytest.mark.parametrize("threads", [1, 3])
def test_stream_writes_what_it_was_given(tmp_path: Path, threads: int) -> None:
    told: list[tuple[int, int]] = []
    with stream(tmp_path / "out.h5") as out:
        assert out.fill(columns_of, threads, lambda finished, total: told.append((finished, total))) == 1234
    found = events.read(tmp_path / "out.h5", ["a", "b"])
    for name, values in columns_of(0, 1234).items():
        np.testing.assert_array_equal(found[name], values)
    with h5py.File(tmp_path / "out.h5") as file:
        assert dict(file.attrs) == {"seed": 1}
        assert [file[name].attrs["unit"] for name in "ab"] == ["TeV", ""]
    assert sum(finished for finished, _ in told) == 1234
    assert {total for _, total in told} == {1234}
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_stream_bears_its_name_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"

    def make(start: int, size: int) -> events.Columns:
        if start >= 500:
            raise KeyboardInterrupt
        return columns_of(start, size)

    with pytest.raises(KeyboardInterrupt), stream(path) as out:
        out.fill(make, 1, quiet)
    assert not path.exists()
    with pytest.raises(RuntimeError, match="8 chunks were never written"), stream(path) as out:
        assert out.resumed == 5
    with stream(path) as out:
        assert out.fill(columns_of, 1, quiet) == 1234 - 500
    np.testing.assert_array_equal(events.read(path, ["a"])["a"], columns_of(0, 1234)["a"])


def test_a_refused_stream_leaves_nothing(tmp_path: Path) -> None:
    def make(start: int, size: int) -> events.Columns:
        if start >= 500:
            raise BadInput("no such event")
        return columns_of(start, size)

    with pytest.raises(BadInput, match="no such event"), stream(tmp_path / "new" / "folder" / "out.h5") as out:
        out.fill(make, 2, quiet)
    assert not list(tmp_path.iterdir())


def test_a_stream_that_the_disk_cannot_hold_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"out.h5: cannot be written \(it needs 8e\+06 GB, and .* GB are free\)"):
        stream(tmp_path / "out.h5", total=10**15, chunk=10**12).__enter__()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(BadInput, match=r"cannot be written \(File too large\)"):
            stream(tmp_path / "out.h5", total=10_000).__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal
from pathlib import Path
from tests.infer.test_stream import columns_of, quiet, stream
def make(start, size):
    if start == 700:
        os.kill(os.getpid(), signal.SIGKILL)
    return columns_of(start, size)
with stream(Path({path!r})) as out:
    out.fill(make, {threads}, quiet)
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_a_killed_stream_goes_on_to_the_same_bytes(tmp_path: Path, threads: int) -> None:
    path, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    with stream(whole) as out:
        out.fill(columns_of, 1, quiet)
    script = KILLED.format(path=str(path), threads=threads)
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    with stream(path) as out:
        made = out.fill(columns_of, threads, quiet)
    assert 1234 - 700 <= made < 1234
    assert path.read_bytes() == whole.read_bytes()


def test_a_part_of_something_else_is_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    with pytest.raises(RuntimeError), stream(path) as out:
        out.write(0, {"a": np.full(100, 7, np.float32), "b": np.full(100, 7, np.float32)})
    for other in (stream(path, seed=2), stream(path, total=1300), stream(path, chunk=50)):
        with pytest.raises(RuntimeError), other as out:
            assert out.resumed == 0


def test_a_torn_record_of_finished_chunks_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    with pytest.raises(RuntimeError), stream(path) as out:
        out.write(0, columns_of(0, 100))
    torn = out.done_path.read_bytes()[: 32 + 5]  # a full disk can cut it short
    out.done_path.write_bytes(torn)
    with stream(path) as again:
        again.fill(columns_of, 1, quiet)
    np.testing.assert_array_equal(events.read(path, ["b"])["b"], columns_of(0, 1234)["b"])


def test_stream_refuses_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for place in ("file/out.h5", "folder"):
        with pytest.raises(BadInput, match="cannot be written"), stream(tmp_path / place) as out:
            out.fill(columns_of, 1, quiet)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}  # nothing half-written, and no lock


def test_memory_does_not_grow_with_the_number_of_events(tmp_path: Path) -> None:
    total, chunk = 2_000_000, 5000
    with stream(tmp_path / "out.h5", total, chunk) as out:
        tracemalloc.start()
        out.fill(columns_of, 2, quiet)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "out.h5").stat().st_size > 8 * total
    assert peak < total  # an eighth of the file, and that is its two chunks

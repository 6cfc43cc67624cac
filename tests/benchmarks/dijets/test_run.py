"""Many chunks, whoever makes them; and everything that can go wrong."""

import contextlib
import math
import os
import resource
import signal as signals
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest

pytest.importorskip("pythia8mc", reason="Pythia is not installed here: pip install '.[generate]'")

from sideband.benchmarks.events import embed, layout
from sideband.benchmarks.events.sources import PARTS
from sideband.benchmarks.simulate import dijets as generate
from sideband.benchmarks.simulate.dijets import chunk, processes, run
from sideband.infer import events
from sideband.infer.errors import BadInput
from tests.benchmarks.dijets.conftest import SEED
from tests.conftest import Outcome

ROOT = Path(__file__).parents[3]
Command = Callable[..., Outcome]

SCRIPT = """
from pathlib import Path
from sideband.benchmarks.simulate.dijets import processes, run
if __name__ == "__main__":
    run.produce([run.Order(processes.signal(), 2030, Path({out!r}), {seed})], 2)
"""


def order(out: Path, number: int = 2030) -> run.Order:
    return run.Order(processes.signal(), number, out, SEED)


def test_killed_work_goes_on_and_is_what_any_other_worker_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "signal.h5"
    script = tmp_path / "make.py"
    script.write_text(SCRIPT.format(out=str(out), seed=SEED))
    small = order(out).path(1)
    started = subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not small.exists():
            assert started.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started.send_signal(signals.SIGKILL)
        started.wait()
        while alive(started.pid):  # workers end with their parent
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        if alive(started.pid):
            os.killpg(started.pid, signals.SIGKILL)
    assert not out.exists()
    first = order(out).path(0)
    if not first.exists():
        run._work(order(out), 0, first)
    monkeypatch.setattr(run, "ProcessPoolExecutor", None)  # nothing is left to be made
    run.produce([order(out)], 1)
    assert not small.parent.exists()
    assert layout.violations(out) == []

    columns = events.read(out, ["m_jj", "tau32_j2", "label"])
    assert len(columns["m_jj"]) == 2030
    assert columns["label"].all()
    for index, start, size in ((0, 0, 20), (1, 2000, 30)):
        fresh = chunk.make(processes.signal(), SEED, index, size)
        for name in ("m_jj", "tau32_j2"):
            np.testing.assert_array_equal(columns[name][start : start + size], fresh.columns[name])
    with h5py.File(out) as file:
        assert file.attrs["cross_section_pb"] == pytest.approx(4.9e-3, rel=0.1)
        assert "34:m0 = 3500" in file.attrs["pythia_settings"]
        assert {"what", "made_with", "selection", "seed", "code", "cross_section_error_pb"} <= set(file.attrs)

    capsys.readouterr()
    run.produce([order(out)], 1)
    assert f"{out}: there already" in capsys.readouterr().out
    for other in (replace(order(out), seed=SEED + 1), order(out, 2031)):
        with pytest.raises(BadInput, match=r"holds other events; remove it or choose another --out"):
            run.produce([other], 1)


def alive(group: int) -> bool:
    """Whether a process of the group is there that is not only waiting to be reaped."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            found.append(os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE)
    return any(found)


def test_seeds_chunks_and_processes_have_nothing_in_common() -> None:
    def first(process: processes.Process, seed: int, index: int) -> float:
        return float(chunk.make(process, seed, index, 1).columns["m_jj"][0])

    one = processes.signal()
    found = [first(one, 1, 0), first(one, 2, 0), first(one, 1, 1), first(processes.signal(width=0.036), 1, 0)]
    assert len(set(found)) == 4


def test_one_command_makes_a_valid_sample(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    arguments = ("embedded", "--events", 60, "--out", out, "--seed", 3)
    done = command("benchmarks", "generate", *arguments)
    assert done.status == 0
    assert f"run quick --events {out}" in done.out
    assert command("benchmarks", "validate", *sorted(out.glob("*.h5"))).status == 0
    lengths = {part: len(events.read(out / f"{part}.h5", ["m_jj"])["m_jj"]) for part in PARTS}
    assert (lengths["data"], lengths["signal"], lengths["simulation"]) == (25, 3, 8)
    assert 0 < lengths["background"] < 35
    assert len(list((out / "figures").glob("*.png"))) == 3
    mass = events.read(out / "data.h5", ["m_jj"])["m_jj"]
    np.testing.assert_array_equal(mass, embed.rounded(mass))
    assert "there already" in command("benchmarks", "generate", *arguments).out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["signal", "--daughters", 2.0, 1.6], "cannot decay; --mass must be more than 1.05 times"),
        (["signal", "--daughters", 0.5, 0.001], "--daughters 0.5 0.001: must be 0.02 TeV or more"),
        (["signal", "--mass", 3500, "--daughters", 500, 100], "13 TeV collisions do not make it"),
        (["signal", "--width", 0], "--width: '0' is not a number above 0"),
        (["signal", "--pt-min", 2.5], "at most about 1.7 TeV of transverse momentum, --pt-min 2.5 leaves nothing"),
        (["qcd", "--pt-min", 1200], "--pt-min 1200: leaves nothing of 13 TeV collisions"),
        (["qcd", "--events", 0], "--events: '0' is not a whole number from 1"),
        (["qcd", "--constituents", 300], "--constituents: '300' is not a whole number from 0 to 128"),
        (["qcd", "--cores", 0], "--cores: '0' is not a whole number from 1"),
        (["qcd", "--seed", -1], "--seed: '-1' is not a whole number from 0"),
    ],
)
def test_what_cannot_be_made_is_refused(command: Command, tmp_path: Path, options: list[object], said: str) -> None:
    out = tmp_path / "events.h5"
    events_option = [] if "--events" in options else ["--events", 10]
    assert said in command("benchmarks", "generate", *options, *events_option, "--out", out).refused()
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"events": 0}, "--events 0: must be from 1 to 100,000,000"),
        ({"events": 10**12}, "--events 1000000000000: must be from 1 to 100,000,000"),
        ({"seed": -1}, "--seed -1: must be from 0 to"),
        ({"seed": 2**64}, "--seed 18446744073709551616: must be from 0 to"),
        ({"constituents": 129}, "--constituents 129: must be from 0 to 128"),
        ({"mass": math.nan}, "cannot decay; --mass must be more than"),
        ({"mass": math.inf, "width": 0.1}, "13 TeV collisions do not make it"),
        ({"daughters": (math.nan, 0.1)}, "must be 0.02 TeV or more"),
        ({"width": math.nan}, "must lie above 0"),
        ({"pt_min": math.nan}, "leaves nothing"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        generate.generate(generate.Wanted(**{"kind": "signal", "out": tmp_path / "e.h5", "events": 10, **options}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file/e.h5", "folder", "linked.h5", "x" * 300, "/proc/e.h5"])
def test_places_that_cannot_be_written_are_left_as_they_are(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    (tmp_path / "linked.h5").symlink_to("file")
    with pytest.raises(BadInput, match="cannot be written"):
        run.produce([order(tmp_path / place, 1)], 1)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "linked.h5"}


def test_a_file_of_other_events_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "signal.h5"
    for columns in ({}, {"m_jj": np.ones(3)}, {"m_jj": 1.0}):
        with h5py.File(path, "w") as file:
            file.update(columns)
        with pytest.raises(BadInput, match="is there, and holds other events"):
            run.produce([order(path, 3)], 1)
    assert [found.name for found in tmp_path.iterdir()] == ["signal.h5"]


def test_a_kind_is_judged_by_its_own_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cut that the default signal cannot pass is none of QCD's business."""
    asked: list[run.Order] = []
    monkeypatch.setattr(run, "produce", lambda orders, cores: asked.extend(orders))
    generate.generate(generate.Wanted("qcd", tmp_path / "q.h5", 10, pt_min=2.5))
    assert [one.process for one in asked] == [processes.qcd(2.5)]


def test_cuts_that_leave_nothing_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "GIVE_UP", 40)
    monkeypatch.setattr(chunk, "BATCH", 20)
    with pytest.raises(BadInput, match=r"none of 40 events has a jet above --pt-min 6 TeV"):
        chunk.make(replace(processes.signal(), pt_min=6.0), SEED, 0, 5)


def test_missing_packages_are_named(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "fastjet", None)
    line = command("benchmarks", "generate", "qcd", "--out", tmp_path / "q.h5").refused()
    assert "fastjet: not installed" in line
    assert "pip install -c constraints.txt '.[generate]'" in line


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk."""
    wanted = order(tmp_path / "signal.h5", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
    try:
        with pytest.raises(BadInput, match=r"000000_1.h5: cannot be written \(File too large\)"):
            run.produce([wanted], 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_worker_that_is_killed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "_start_worker", exit_at_once)
    with pytest.raises(BadInput, match="a worker was killed"):
        run.produce([order(tmp_path / "signal.h5", 2)], 1)


def exit_at_once() -> None:
    os.kill(os.getpid(), signals.SIGKILL)

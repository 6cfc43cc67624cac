"""Warm processes: a step they start writes, fails and dies as a command of its own would."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sideband.benchmarks.grid import ask
from sideband.benchmarks.grid.warm import PACKAGES, kept_warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are no warm processes elsewhere")


@pytest.fixture(scope="module")
def warm() -> Iterator[Path]:
    with kept_warm() as folder:
        assert folder is not None
        yield folder


def asking(warm: Path, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-IS", ask.__file__, str(warm / "benchmarks"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)


def test_a_step_prints_and_ends_as_its_command_does(warm: Path, tmp_path: Path) -> None:
    (tmp_path / "no.h5").write_text("no events")
    out, err = asking(warm, "validate", "no.h5", cwd=tmp_path).communicate()
    plain = subprocess.run(
        [sys.executable, "-m", "sideband.benchmarks", "validate", "no.h5"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert plain.returncode == 2
    assert (out, err) == (plain.stdout, plain.stderr)


@pytest.mark.parametrize(("arguments", "status"), [(("--help",), 0), (("validate", "/nowhere.h5"), 2), (("fly",), 2)])
def test_the_exit_status_is_that_of_the_step(warm: Path, arguments: tuple[str, ...], status: int) -> None:
    step = asking(warm, *arguments)
    step.communicate()
    assert step.returncode == status


def test_a_step_ends_with_the_one_who_asked_and_the_other_way_round(warm: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "events.h5"
    os.mkfifo(pipe)  # whoever opens it waits
    (server,) = (each for each in psutil.Process().children() if each.cmdline()[-2] == "benchmarks")

    def waiting() -> psutil.Process:
        limit = time.monotonic() + 30
        while not (found := server.children()):
            assert time.monotonic() < limit
            time.sleep(0.02)
        return found[0]

    for end in ("asking", "step"):
        step = asking(warm, "describe", str(pipe))
        work = waiting()
        if end == "asking":
            step.kill()
        else:
            work.send_signal(signal.SIGKILL)
        step.communicate()
        work.wait(30)
        assert step.returncode == (-signal.SIGKILL if end == "asking" else 128 + signal.SIGKILL)
        while server.children():
            time.sleep(0.02)


def test_one_who_asks_for_nothing_stops_nobody(warm: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(str(warm / "benchmarks"))
    step = asking(warm, "--help")
    step.communicate()
    assert step.returncode == 0


def test_nothing_is_left_behind() -> None:
    before = psutil.Process().children()
    with kept_warm() as folder:
        assert folder is not None
        servers = [child for child in psutil.Process().children() if child not in before]
        assert len(servers) == len(PACKAGES)
        assert sorted(path.name for path in folder.iterdir()) == sorted(PACKAGES)
    assert not folder.exists()
    assert not any(server.is_running() for server in servers)

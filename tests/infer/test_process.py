import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sideband.infer import process

ROOT = Path(__file__).parents[2]
STEP = """
import signal, sys
from sideband.infer.errors import guarded
for each in (signal.SIGINT, signal.SIGHUP):  # which nohup, or a shell's background, ignores
    signal.signal(each, signal.SIG_DFL)
def main():
    print("at work", flush=True)
    sys.stdin.read()
guarded(main)
"""


def step(folder: Path, **options: object) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", STEP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, process.RUN: str(folder)},
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "at work\n"
    return started


@pytest.mark.parametrize("number", process.SIGNALS)
def test_a_signal_is_one_line_and_its_status(tmp_path: Path, number: signal.Signals) -> None:
    with step(tmp_path) as started:
        started.send_signal(number)
        assert started.wait(10) == 128 + number
        assert started.stderr is not None
        (line,) = started.stderr.read().splitlines()
    assert line.startswith(f"interrupted by {number.name}: what was finished is kept")
    assert not list(tmp_path.iterdir())


def test_a_step_is_known_as_long_as_it_lives(tmp_path: Path) -> None:
    with step(tmp_path) as one, step(tmp_path) as other:
        assert process.living_steps(tmp_path) == sorted([one.pid, other.pid], key=str)
        one.kill()
        one.wait()
        assert process.living_steps(tmp_path) == [other.pid]
        other.communicate("")
        assert other.returncode == 0
    assert process.living_steps(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_only_the_first_signal_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SIGNALS", (signal.SIGUSR1, signal.SIGUSR2))  # others may be ignored, as under nohup
    before = [signal.getsignal(each) for each in process.SIGNALS]

    def twice() -> None:
        with process.interrupted_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGUSR1)
            finally:
                os.kill(os.getpid(), signal.SIGUSR2)

    with pytest.raises(process.Interrupted) as interruption:
        twice()
    assert interruption.value.signal == signal.SIGUSR1
    assert [signal.getsignal(each) for each in process.SIGNALS] == before


def test_a_signal_that_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.interrupted_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)

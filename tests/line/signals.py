"""Interrupt a suite at random moments, over and over, and hold what comes out against a run that nobody interrupts.

    python -m tests.line.signals --rounds 20

interrupts suite smoke twenty times in each of four ways, and always gives the same command once more: SIGTERM, SIGINT
or SIGHUP to the command; SIGKILL to all processes; SIGKILL to the command and Snakemake, whose steps live on; SIGKILL
to one fit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import psutil
import torch

from sideband.infer import events, process
from tests.line.conftest import command, environment
from tests.train.fits import same

GONE = 10.0  # seconds for all processes to end
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MARK = "SIDEBAND_TEST"


class Started:
    """A run that was started in a process group of its own; all its processes bear a mark."""

    def __init__(self, suite: str | Path, runs: Path, *options: str, **environ: str) -> None:
        self.suite, self.runs, self.folder = suite, runs, runs / Path(suite).stem
        self._mark = uuid.uuid4().hex
        self._err = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed at its end)
        with _heeded():
            self.process: subprocess.Popen[str] = subprocess.Popen(
                [*command(suite, runs), *options],
                stdout=subprocess.DEVNULL,
                stderr=self._err,
                env={**environment(), MARK: self._mark, **environ},
                start_new_session=True,
                text=True,
            )

    def living(self, of: str = "", mark: str = MARK) -> list[psutil.Process]:
        """All of its processes, whoever is their parent, or those with some text in their command lines."""
        found = []
        for each in psutil.process_iter():
            with suppress(psutil.Error):  # dead, or none of ours
                told = each.environ()
                if told.get(MARK) == self._mark and mark in told and of in " ".join(each.cmdline()):
                    found.append(each)
        return found

    def steps(self, of: str = " -m ") -> list[psutil.Process]:
        """Its steps at work, without the shells around them."""
        found = []
        for each in self.living(of, process.RUN):
            with suppress(psutil.Error):
                line = each.cmdline()
                if line[:1] == [sys.executable] and "snakemake" not in line:
                    found.append(each)
        return found

    def wait_for(self, seen: Callable[[], Any], seconds: float = 120.0) -> bool:
        """Wait until something is seen; tells whether the run has not ended before."""
        limit = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < limit
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def ask(self, number: signal.Signals) -> None:
        """Send a signal to the command alone, and expect the end of everything, in one line."""
        self.process.send_signal(number)
        status, lines = self.ended(GONE)
        assert not self.living(), self.living()
        assert status == 128 + number, (status, lines)
        (line,) = lines
        assert line.startswith(f"interrupted by {number.name}: "), line
        assert line.endswith("; the same command goes on from there"), line

    def ended(self, within: float | None = None) -> tuple[int, list[str]]:
        """Its status, and the lines on stderr."""
        status = self.process.wait(within)
        self._err.seek(0)
        lines = self._err.read().splitlines()
        self._err.close()
        return status, lines


@contextmanager
def _heeded() -> Iterator[None]:
    """What is started in the block heeds all signals, also where this process was told to ignore some, by nohup say."""
    ignored = [each for each in SIGNALS if signal.getsignal(each) is signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, signal.SIG_DFL)
    try:
        yield
    finally:
        for each in ignored:
            signal.signal(each, signal.SIG_IGN)


def moment(least: float, most: float) -> Callable[[], bool]:
    """A random moment between so many seconds from now: whether it has come."""
    limit = time.monotonic() + random.uniform(least, most)
    return lambda: time.monotonic() > limit


def differences(one: Path, other: Path) -> list[str]:
    """Files with numbers that two folders of one suite do not have in common; timings and provenance apart."""
    found = []
    names = {path.relative_to(folder) for folder in (one, other) for path in folder.glob("*/*/*/**/*.*")}
    for name in sorted(names):
        if name.name in ("model.pt", "evaluation.json") or name.suffix in (".onnx", ".h5", ".npz"):
            pair = (one / name, other / name)
            if not (all(path.exists() for path in pair) and _equal(*map(_numbers, pair))):
                found.append(str(name))
    return found


def _numbers(path: Path) -> Any:
    if path.suffix == ".pt":
        return torch.load(path, weights_only=True)
    if path.suffix == ".json":
        record = events.read_json(path)
        return json.dumps([record[key] for key in ("sic", "closure", "excess", "clamped_fraction")])
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name].tobytes() for name in file}
    if path.suffix == ".h5":
        columns: dict[str, bytes] = {}

        def keep(name: str, node: object) -> None:
            if isinstance(node, h5py.Dataset):
                columns[name] = node[()].tobytes()

        with h5py.File(path) as file:
            file.visititems(keep)
        return columns
    graph = onnx.load(path)
    told = {entry.key: entry.value for entry in graph.metadata_props if entry.key not in ("code", "versions")}
    return graph.graph.SerializeToString(), told


def _equal(one: Any, other: Any) -> bool:
    return same(one, other) if isinstance(one, dict) else one == other


# The campaign


def asked(started: Started, number: int, most: float) -> bool:
    """One of the signals, in turn, to the command; tells whether it came before the end, as all of these do."""
    if started.wait_for(moment(1, most)):
        started.ask(SIGNALS[number % len(SIGNALS)])
        return True
    return _finished(started)


def killed(started: Started, number: int, most: float) -> bool:
    """SIGKILL to all processes."""
    if started.wait_for(moment(1, most)):
        os.killpg(started.process.pid, signal.SIGKILL)
        assert started.ended(GONE)[0] == -signal.SIGKILL
        _all_gone(started)
        return True
    return _finished(started)


def orphaned(started: Started, number: int, most: float) -> bool:
    """SIGKILL to the command and to Snakemake: while their steps live, a second run is refused."""
    if not (started.wait_for(moment(1, most)) and started.wait_for(started.steps)):
        return _finished(started)
    for each in [psutil.Process(started.process.pid), *started.living("-m snakemake")]:
        each.kill()
    started.ended(GONE)
    left = started.steps()
    status, lines = Started(started.suite, started.runs).ended()
    if left and started.steps() == left:
        (line,) = lines
        assert status == 2, (status, lines)
        assert "still at work there (process" in line, line
        assert all(str(each.pid) in line for each in left), (line, left)
    for each in started.living():
        each.kill()
    _all_gone(started)
    return True


def one_fit(started: Started, number: int, most: float) -> bool:
    """SIGKILL to one fit alone: the run names it and fails."""
    if not started.wait_for(lambda: started.steps(" -m train fit ")):
        return _finished(started)
    time.sleep(random.uniform(0, 3))
    fits = started.steps(" -m train fit ")
    if not fits:
        return _finished(started)
    random.choice(fits).kill()
    status, lines = started.ended()
    if status == 0:  # it had all but ended
        return False
    (line,) = lines
    assert status == 1, (status, lines)
    assert "ended by SIGKILL; the same command goes on from there" in line, line
    return True


def _finished(started: Started) -> bool:
    status, lines = started.ended()
    assert status == 0, (status, lines)
    return False


def _all_gone(started: Started) -> None:
    limit = time.monotonic() + GONE
    while started.living():
        assert time.monotonic() < limit, started.living()
        time.sleep(0.05)


WAYS = {"asked": asked, "killed": killed, "orphaned": orphaned, "one_fit": one_fit}


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="smoke")
    parser.add_argument("--rounds", type=int, default=20, help="interruptions in each way (default 20)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        begun = time.monotonic()
        unbroken = Started(arguments.suite, Path(place) / "unbroken")
        _finished(unbroken)
        whole = time.monotonic() - begun
        print(f"unbroken: {whole:.0f} s", flush=True)
        for way in arguments.ways:
            begun, runs = time.monotonic(), Path(place) / way
            done = 0
            while done < arguments.rounds:
                options = ("--stage", "train") if way == "one_fit" else ()
                started = Started(arguments.suite, runs, *options)
                if WAYS[way](started, done, whole / 4):
                    done += 1
                    continue
                random.choice(sorted(started.folder.glob("*/*/*/*/model.pt"))).unlink()  # so that there is work again
            started = Started(arguments.suite, runs)
            _finished(started)
            differing = differences(unbroken.folder, started.folder)
            print(f"{way}: {done} interruptions, {time.monotonic() - begun:.0f} s; differing: {differing}", flush=True)
            assert not differing


if __name__ == "__main__":
    main()

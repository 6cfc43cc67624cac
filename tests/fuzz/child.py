"""One case in a forked child: its files, its command, its verdict."""

import importlib
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from sideband.infer.errors import guarded
from tests.fuzz import kinds
from tests.fuzz.verdict import Case, Ran, Verdict, judge, snapshot

ADDRESSES = 4 * 2**30  # bytes more than at the start: who asks for them fails, and the machine goes on
LARGEST = 2**28  # bytes of a file
PIPE = 2**20


def judged(
    kind: kinds.Kind, number: int, seed: int, root: Path, folder: Path, ends: Sequence[tuple[int, int]]
) -> Verdict:
    """Make the case, run it, and judge it, in the child."""
    work = folder / "work"
    (work / "tmp").mkdir(parents=True)
    os.chdir(work)
    try:
        case = kind.make(np.random.default_rng([seed, number]), root / "base")
        (folder / "what").write_text(case.what, errors="backslashreplace")
        before = snapshot(work)
    except Exception:
        return Verdict(number, kind.name, "", -1, "the case itself fails", detail=traceback.format_exc())
    ran = _command(case, ends)
    try:
        problem = judge(case, ran, before, snapshot(work))
    except Exception as error:
        problem = f"accepted, but its result cannot be judged: {type(error).__name__}: {error}"
    line = " ".join(case.command)
    detail = f"{line}\n{ran.out[-2000:]}{ran.err[-4000:]}"
    return Verdict(number, kind.name, case.what, ran.status, problem, ran.seconds, ran.memory, detail)


def _command(case: Case, ends: Sequence[tuple[int, int]]) -> Ran:
    """Run the command like its command line, with stdout and stderr in pipes large enough for all of it."""
    package, *arguments = case.command
    kept = [os.dup(1), os.dup(2)]
    for number, (_, theirs) in enumerate(ends, 1):
        os.dup2(theirs, number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (as the interpreter's own)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = [package, *arguments]
    os.environ["TMPDIR"], tempfile.tempdir = "tmp", None
    case.before()
    with open("/proc/self/clear_refs", "w") as handle:
        handle.write("5")
    limits = [(resource.RLIMIT_FSIZE, LARGEST if case.largest is None else case.largest)]
    limits += [(resource.RLIMIT_AS, 1024 * _kib("VmSize") + ADDRESSES)]
    for limit, value in limits:
        resource.setrlimit(limit, (value, resource.RLIM_INFINITY))
    start, status = time.monotonic(), 0
    try:
        guarded(importlib.import_module(f"sideband.{package}.__main__").main)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 0
    except BaseException:
        traceback.print_exc()
        status = 1
    seconds, memory = time.monotonic() - start, _kib("VmHWM") / 1024
    for limit, _ in limits:
        resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    for number, fd in enumerate(kept, 1):
        os.dup2(fd, number)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    return Ran(status, rest(ends[0][0]), rest(ends[1][0]), seconds, memory)


def rest(pipe: int) -> str:
    """The unread content of a pipe."""
    with suppress(BlockingIOError):
        return os.read(pipe, PIPE).decode(errors="backslashreplace")
    return ""


def _kib(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))

"""Whose folder a run's is: one run at a time, and no step of an earlier one."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from sideband.benchmarks.grid.processes import STEPS
from sideband.infer import events, process
from sideband.infer.errors import BadInput


@contextmanager
def sole_owner(folder: Path) -> Iterator[IO[str]]:
    """Own a suite's folder. The kernel takes the lock back when its owners die, so no stale one can be left.

    Yields:
        The locked file. A process that inherits it owns the folder too, and writes its number there.

    Raises:
        BadInput: another run is at work, or steps of an earlier one are; the message has their numbers.
    """
    path = folder / ".owner"
    with events.writable(path):
        handle = open(path, "a+")  # noqa: SIM115 (kept open until the end)
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            written = [int(number) for number in re.findall(r"\d{1,9}", handle.read())]
            owners = [number for number in written if psutil.pid_exists(number)] or written
            raise BadInput(f"{folder}: another run is at work there {_by_hand(owners)}") from error
        steps = [number for number in process.living_steps(folder / STEPS) if number != os.getpid()]
        if steps:
            raise BadInput(f"{folder}: steps of an earlier run are still at work there {_by_hand(steps)}")
        handle.truncate(0)
        sign(handle, os.getpid())
        yield handle


def sign(owner: IO[str], number: int) -> None:
    """Write the number of a process that owns the folder into its lock."""
    owner.write(f"process {number}\n")
    owner.flush()


def _by_hand(numbers: list[int]) -> str:
    what = "process" if len(numbers) == 1 else "processes"
    return f"({what} {', '.join(map(str, numbers))}); wait for that, or end it: kill {' '.join(map(str, numbers))}"

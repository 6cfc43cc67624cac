"""Signals and locks: how a command ends when it is interrupted, and how a later run sees that it is still alive.

A run names a folder to its steps in the environment variable `RUN`. Each step locks a file there while it lives. The
kernel releases the lock however the process ends, so a later run sees all steps of an earlier run that are still alive.
"""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

RUN = "SIDEBAND_RUN"  # names the folder with the locks of a run's steps
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raise `Interrupted` in the block at the first of `SIGNALS`, so that it can clean up; ignore later ones.

    Signals that were ignored from the start, as under nohup, stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {each: signal.getsignal(each) for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def step_of_a_run() -> Iterator[None]:
    """Lock a file for this process in the folder that `RUN` names, if it names one."""
    folder = os.environ.get(RUN)
    if not folder or not Path(folder).is_dir():
        yield
        return
    path = Path(folder) / str(os.getpid())
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def living_steps(folder: Path) -> list[int]:
    """Process numbers of the steps with a lock in `folder`; files of dead steps are removed."""
    living = []
    for path in sorted(folder.glob("*")):
        with suppress(FileNotFoundError), open(path) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                living.append(int(path.name))
            else:
                path.unlink(missing_ok=True)
    return living

"""The processes of a run: marked as its own, and all ended where it ends early."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sideband.infer import process

GRACE = 5.0  # seconds that processes have to end by themselves
GRACE_ALONE = 1.0  # the last one: Snakemake, which waits for nothing but its own timers
CANCELLING = 30.0  # seconds that Snakemake has to cancel jobs of a cluster
STEPS = ".steps"  # in a run's folder: a locked file of each step that is at work


@contextmanager
def parent_of_steps(folder: Path) -> Iterator[None]:
    """Mark every process that is started in the block, and all that these start, as one of the run's."""
    before = os.environ.get(process.RUN)
    os.environ[process.RUN] = _mark(folder)
    Path(_mark(folder)).mkdir(exist_ok=True)
    try:
        yield
    finally:
        del os.environ[process.RUN]
        if before is not None:
            os.environ[process.RUN] = before


def _mark(folder: Path) -> str:
    return str((folder / STEPS).resolve())


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """End every process of the run, where the block ends by a signal or an error."""
    try:
        yield
    except BaseException:
        _end_all(folder)
        raise


def cancelled(snakemake: subprocess.Popen[str]) -> None:
    """Let Snakemake cancel its jobs of a cluster, where no signal of ours arrives. It does so for SIGINT alone."""
    snakemake.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        snakemake.communicate(timeout=CANCELLING)


def _end_all(folder: Path) -> None:
    """End all processes of a run but this one, and wait for it.

    Each is asked once. Snakemake, the oldest, is asked first: it then starts no more of them.
    """
    asked: set[psutil.Process] = set()
    limit = time.monotonic() + GRACE
    while living := _living(folder):
        if len(living) == 1:
            limit = min(limit, time.monotonic() + GRACE_ALONE)
        late = time.monotonic() > limit
        for each in living:
            if late or each not in asked:
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGKILL if late else signal.SIGTERM)
        asked.update(living)
        time.sleep(0.1)


def _living(folder: Path) -> list[psutil.Process]:
    """The processes that bear a run's mark, whoever is their parent now; the oldest first."""
    living = []
    for each in psutil.process_iter():
        with suppress(psutil.Error):  # dead by now, or not ours to look at
            if each.environ().get(process.RUN) == _mark(folder) and each.pid != os.getpid():
                living.append(each)
    return sorted(living, key=psutil.Process.create_time)

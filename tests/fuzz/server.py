"""A forking server: the imports are done once, and each case runs in its own child.

The parent has a single thread and computes nothing; otherwise its children would wait for threads that they lack.
"""

import dataclasses
import fcntl
import gc
import importlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz import kinds, material
from tests.fuzz.child import PIPE, judged, rest
from tests.fuzz.verdict import Verdict

HANGS = 20.0  # seconds


def run(numbers: Sequence[int], seed: int, root: Path, workers: int, keep: Path | None = None) -> Iterator[Verdict]:
    """Run cases in `workers` processes for light commands and as many for heavy ones; yields verdicts as they come.

    Args:
        numbers, seed: of the cases.
        root: an empty folder for all files.
        workers: processes of each sort; each begins with what has been imported by then.
        keep: folder for the files of each case, by its number.
    """
    light = [number for number in numbers if not kinds.of(seed, number).heavy]
    heavy = [number for number in numbers if kinds.of(seed, number).heavy]
    pipes: dict[int, set[int]] = {}
    processes: list[int] = []

    def start(share: list[int], modules: Sequence[str], make: Callable[[Path], None]) -> None:
        for module in modules:
            importlib.import_module(module)
        assert len(os.listdir("/proc/self/task")) == 1, "an import has started a thread"
        gc.freeze()
        in_child(lambda: make(root))
        for worker in range(workers):
            mine = share[worker::workers]
            process, pipe = _worker(mine, seed, root, keep)
            processes.append(process)
            pipes[pipe] = set(mine)

    try:
        start(light, kinds.LIGHT, material.make_light)
        if heavy:
            start(heavy, kinds.HEAVY, material.make_heavy)
        yield from _gathered(pipes, seed)
    finally:
        for process in processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def in_child(work: Callable[[], None]) -> None:
    """Do some work in a child, so that it starts no threads in this process."""
    pid = os.fork()
    if not pid:
        with _leaving():
            work()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the material for the cases could not be made")


def _worker(numbers: Sequence[int], seed: int, root: Path, keep: Path | None) -> tuple[int, int]:
    """Start a process that runs cases one by one; returns its number and the pipe with its verdicts."""
    ours, theirs = os.pipe()
    if not (process := os.fork()):
        with _leaving():
            for number in numbers:
                verdict = alone(number, seed, root, keep and keep / str(number))
                os.write(theirs, json.dumps(dataclasses.asdict(verdict)).encode() + b"\n")
    os.close(theirs)
    return process, ours


def _gathered(pipes: dict[int, set[int]], seed: int) -> Iterator[Verdict]:
    poll, rest = select.poll(), dict.fromkeys(pipes, b"")
    for pipe in pipes:
        poll.register(pipe, select.POLLIN)
    while pipes:
        for pipe, _ in poll.poll():
            read = os.read(pipe, PIPE)
            *lines, rest[pipe] = (rest[pipe] + read).split(b"\n")
            for line in lines:
                verdict = Verdict(**json.loads(line))
                pipes[pipe].remove(verdict.number)
                yield verdict
            if not read:
                poll.unregister(pipe)
                for number in sorted(pipes.pop(pipe)):
                    yield Verdict(number, kinds.of(seed, number).name, "", -1, "never run: its server died")


def alone(number: int, seed: int, root: Path, keep: Path | None = None) -> Verdict:
    """Run one case in a child; its files go to `keep`, or nowhere."""
    kind = kinds.of(seed, number)
    folder = Path(tempfile.mkdtemp(dir=root))
    ends = [os.pipe() for _ in ("stdout", "stderr")]
    for ours, theirs in ends:
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE)
        os.set_blocking(ours, False)
    start, pid = time.monotonic(), os.fork()
    if not pid:
        os.setpgid(0, 0)
        with _leaving():
            verdict = judged(kind, number, seed, root, folder, ends)
            (folder / "verdict.json").write_text(json.dumps(dataclasses.asdict(verdict)))
    hung, status = _awaited(pid)
    try:
        os.killpg(pid, signal.SIGKILL)
        left = not hung
    except ProcessLookupError:
        left = False
    told = folder / "verdict.json"
    if told.exists():
        verdict = Verdict(**json.loads(told.read_text()))
        if left and not verdict.problem:
            verdict = dataclasses.replace(verdict, problem="a process was left running")
    else:
        what = (folder / "what").read_text() if (folder / "what").exists() else ""
        ended = f"ended by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "no verdict"
        problem = "hangs" if hung else ended
        seconds, detail = time.monotonic() - start, rest(ends[1][0])
        verdict = Verdict(number, kind.name, what, -1, problem, seconds, detail=detail)
    for end in (end for pair in ends for end in pair):
        os.close(end)
    if keep is not None:
        shutil.copytree(folder, keep, symlinks=True, ignore=_no_special_files)
    shutil.rmtree(folder)
    return verdict


def _awaited(pid: int) -> tuple[bool, int]:
    """Wait for a child; returns whether it was killed for hanging, and its status."""
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    hung = not poll.poll(1000 * HANGS)
    os.close(handle)
    if hung:
        os.killpg(pid, signal.SIGKILL)
    return hung, os.waitpid(pid, 0)[1]


@contextmanager
def _leaving() -> Iterator[None]:
    """End the process after the block, as a forked child must."""
    try:
        yield
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(70)


def _no_special_files(folder: str, names: Iterable[str]) -> list[str]:
    paths = [Path(folder, name) for name in names]
    return [path.name for path in paths if not (path.is_symlink() or path.is_file() or path.is_dir())]

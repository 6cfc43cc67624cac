"""A case, and the verdict on how it ended."""

import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEMORY_MIB = 1024.0  # of a refused case
SECONDS = 10.0  # likewise

# Lines of stdout that name something as made, which nothing refused may say.
CLAIMS = re.compile(r": (template|scores) of |: exported$|^figure: |^report: |: \d+ showers of ", re.MULTILINE)
OURS = re.compile(r"waiting: another process is writing ")  # what may stand on stderr of a command that succeeds

Snapshot = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Ran:
    """The outcome of a command: exit status, stdout, stderr, seconds, and peak memory [MiB]."""

    status: int
    out: str
    err: str
    seconds: float
    memory: float


@dataclass(frozen=True)
class Case:
    """One command on files in its working folder.

    Args:
        what: the command and what was done to its input.
        command: package and arguments.
        outputs: files or folders that it may write.
        statuses: exit statuses that are right.
        right: of a command that was not refused, what is wrong with its result; "" where it is right.
        largest: bytes that no file may exceed, as on a full disk; None where there is room.
        before: called in the process just before the command.
    """

    what: str
    command: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    statuses: frozenset[int] = frozenset({0, 2})
    right: Callable[[Ran], str] = lambda ran: ""
    largest: int | None = None
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Verdict:
    """How a case ended; `problem` is "" if it ended right."""

    number: int
    kind: str
    what: str
    status: int
    problem: str
    seconds: float = 0.0
    memory: float = 0.0
    detail: str = field(default="", repr=False)


def snapshot(folder: Path) -> Snapshot:
    """Every entry below `folder`: its type and content, and for all but folders its inode and time."""
    found: Snapshot = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            info = os.lstat(path)
            kind = stat.S_IFMT(info.st_mode)
            entry: tuple[Any, ...] = (kind, stat.S_IMODE(info.st_mode))
            if kind != stat.S_IFDIR:
                entry += (info.st_ino, info.st_nlink, info.st_size, info.st_mtime_ns)
            if kind == stat.S_IFREG:
                with open(path, "rb") as handle:
                    entry += (hashlib.file_digest(handle, "sha256").hexdigest(),)
            elif kind == stat.S_IFLNK:
                entry += (os.readlink(path),)
            found[os.path.relpath(path, folder)] = entry
    return found


def judge(case: Case, ran: Ran, before: Snapshot, after: Snapshot) -> str:
    """What is wrong with the outcome of a case; "" if nothing is."""
    if "Traceback (most recent call last)" in ran.err:
        return f"traceback: {_innermost(ran.err)}"
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    lines = ran.err.splitlines()
    if ran.status not in (0, 1, 2):
        return f"status {ran.status}"
    if ran.status == 2:
        if len(lines) != 1 or not lines[0].startswith("error: "):
            return f"stderr of a refusal: {ran.err[-300:]!r}"
        if changed:
            return f"refused, and yet changed: {', '.join(changed[:4])}; {lines[0][:150]}"
        if claim := CLAIMS.search(ran.out):
            return f"refused, and yet claims: {claim[0].strip()}"
        if re.search("not enough memory|[Uu]nable to allocate|bad_alloc|bad allocation", ran.err):
            return f"asked for too much memory: {lines[0][:150]}"
        if ran.memory > MEMORY_MIB or ran.seconds > SECONDS:
            return f"refused after {ran.seconds:.1f} s with {ran.memory:.0f} MiB"
    if ran.status not in case.statuses:
        return f"status {ran.status} in place of {min(case.statuses)}: {lines[-1][:200] if lines else ran.out[-200:]!r}"
    if ran.status == 2:
        return ""
    foreign = [line for line in lines if not OURS.match(line) and not (ran.status == 1 and line.startswith("failed: "))]
    if foreign:
        return f"foreign line on stderr: {foreign[0][:200]}"
    unasked = [name for name in changed if ran.status == 1 or not _asked(name, case.outputs, name in after)]
    if unasked:
        return f"status {ran.status}, and changed what is no output: {', '.join(unasked[:4])}"
    return case.right(ran)


def _asked(name: str, outputs: tuple[str, ...], there: bool) -> bool:
    """Whether an entry may change: an output, a part of one, or a folder above one; parts may also go."""
    left = name.endswith((".part", ".done", ".tmp", ".lock"))
    for output in map(os.path.normpath, outputs):
        if name.startswith(f"{output}/") and not (there and left):
            return True
        if there and (name == output or output.startswith(f"{name}/")):
            return True
    return False


def _innermost(text: str) -> str:
    """The last line of a traceback, and the last frame in our code."""
    frames = re.findall(r'File "[^"]*?/((?:infer|benchmarks|train|export)/[^"]+)", line (\d+), in (\w+)', text)
    place = "{}:{} {}".format(*frames[-1]) if frames else "?"
    last = [line for line in text.splitlines() if line.strip() and not line.startswith(" ")][-1]
    return f"{place}: {last[:200]}"

"""The progress of a run, read from Snakemake's output: jobs done, jobs failed, seconds left."""

import collections
import math
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sideband.benchmarks.grid import steps

PRINT_SECONDS = 30.0
# The log of a failed job, and the status or the signal that ended its shell, as Snakemake prints them.
ENDED = re.compile(r"> (\S+) 2>&1' (?:returned non-zero exit status (\d+)|died with <Signals\.(\w+))")
# How Slurm has ended a job, and why it takes none.
STATUS = re.compile(r"\s+message: .*SLURM status is: '(\w+)'")
REFUSED = re.compile(
    r"\s+message: (?:SLURM sbatch failed. The error message was '|Job submission failed with exception: )(.*?)'?\.?$"
)
BY_SIGNAL = {128 + each: each.name for each in signal.Signals}  # what shells return for it
TARGETS = (*steps.STAGES, "everything")  # rules that only ask for files


@dataclass
class Watch:
    """Follows Snakemake's output: jobs done, jobs failed, seconds left.

    Args:
        budget: expected seconds of a step on one core, by the start of its rule's name.
        cores: CPU cores that share the work; None on a cluster, where jobs wait and nobody knows how many work at once.
        ended: called with rule and seconds of each job that has ended well.
        failed: rule and log of each job that has failed; signals: what has ended some of them, by log.
        refused: why a cluster takes no job; "" as long as it does.
        last: the last line.
    """

    budget: dict[str, float]
    cores: int | None
    ended: Callable[[str, float], None] = lambda rule, seconds: None
    failed: list[tuple[str, str]] = field(default_factory=list)
    signals: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    last: str = ""

    def __post_init__(self) -> None:
        self._planned: collections.Counter[str] = collections.Counter()
        self._done: collections.Counter[str] = collections.Counter()
        self._spent: dict[str, float] = collections.defaultdict(float)
        self._running: dict[str, tuple[str, float]] = {}
        self._counting, self._failing, self._status = False, "", ""
        self._rule = ""
        self._begun = self._printed = time.monotonic()

    @contextmanager
    def showing(self, title: str) -> Iterator[None]:
        """Show a bar on a terminal, and a line now and then in a log."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        left, console = TextColumn("{task.fields[left]}"), Console(stderr=True)
        with Progress(*columns, left, console=console, disable=not sys.stderr.isatty()) as self._bar:
            self._task = self._bar.add_task(title, total=None, left="")
            self._title = title
            yield

    def read(self, line: str) -> None:
        """Take one line of Snakemake's output."""
        if line.strip():
            self.last = line.strip()
        if line.startswith(("job ", "Job stats")):
            self._counting = True
        elif self._counting and (match := re.fullmatch(r"([\w@.]+)\s+(\d+)", line.strip())):
            if match[1] == "total":
                self._counting = False
                self._show()
            elif match[1] not in TARGETS:
                self._planned[match[1]] = int(match[2])
        elif match := re.match(r"(?:local)?(?:rule|checkpoint) ([\w@.]+):", line):
            self._rule = match[1]
        elif (match := re.match(r"\s+jobid: (\d+)", line)) and not self._failing:
            self._running[match[1]] = (self._rule, time.monotonic())
        elif match := re.match(r"Finished jobid: (\d+)", line):
            rule, start = self._running.pop(match[1], ("", time.monotonic()))
            if rule in self._planned:
                self._done[rule] += 1
                seconds = time.monotonic() - start
                self._spent[rule] += seconds
                self.ended(rule, seconds)
                self._show()
        elif match := ENDED.search(line):
            ended = match[3] or BY_SIGNAL.get(int(match[2]))
            if ended:
                self.signals[match[1]] = ended
        elif match := re.match(r"Error in rule ([\w@.]+):", line):
            self._failing, self._status = match[1], ""
        elif match := STATUS.match(line):
            self._status = match[1] if match[1] != "FAILED" else ""  # by itself, as its log says
        elif match := REFUSED.match(line):
            self.refused = match[1]
        elif self._failing and (match := re.match(r"\s+jobid: (\d+)", line)):
            self._running.pop(match[1], None)
        elif self._failing and (match := re.match(r"\s+log: ([^\s,]+)", line)):
            self.failed.append((self._failing, match[1]))
            if self._status:
                self.signals[match[1]] = self._status
            self._failing = ""

    @property
    def running(self) -> int:
        """Jobs that have begun and not ended."""
        return len(self._running)

    def expected(self, rule: str) -> float:
        """Seconds one job of a rule takes: as measured so far, else by the budget, scaled as it has needed so far."""
        if self._done[rule]:
            return self._spent[rule] / self._done[rule]
        planned = sum(steps.seconds(name, self.budget) * number for name, number in self._done.items())
        scale = sum(self._spent.values()) / planned if planned else 1.0
        return steps.seconds(rule, self.budget) * scale

    def seconds_left(self) -> float:
        """An estimate of the seconds until the grid is done; jobs that run alone on the machine count in full."""
        if self.cores is None:
            done, left = (
                sum(steps.seconds(rule, self.budget) * number for rule, number in jobs.items())
                for jobs in (self._done, self._planned - self._done)
            )
            return (time.monotonic() - self._begun) * left / done if done else math.inf
        left = 0.0
        for rule, number in self._planned.items():
            share = 1 if steps.is_alone(rule) else self.cores
            left += (number - self._done[rule]) * self.expected(rule) / share
        return left

    def _show(self) -> None:
        done, total = sum(self._done.values()), sum(self._planned.values())
        seconds = self.seconds_left()
        left = f"about {seconds:.0f} s left" if done < total and math.isfinite(seconds) else ""
        self._bar.update(self._task, completed=done, total=total, left=left)
        if not sys.stderr.isatty() and time.monotonic() - self._printed > PRINT_SECONDS:
            print(f"{self._title}: {done} of {total} steps{left and f', {left}'}", flush=True)
            self._printed = time.monotonic()

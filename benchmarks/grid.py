"""Run a suite's grid with Snakemake: what is missing or changed, one owner at a time, with progress and time left."""

import collections
import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import methods
from benchmarks import suite as suites
from benchmarks.suite import Suite
from infer import events
from infer.errors import BadInput
from infer.provenance import cores

SNAKEFILE = Path(__file__).with_name("Snakefile")

# Which rules belong to which stage: each container image runs those of its own.
STAGES = {
    "train": ("train", "task", "fit_"),
    "export": ("export", "export_", "compare_"),
    "infer": ("infer", "template_", "score_", "data_scores_", "throughput_"),
    "benchmark": ("benchmark", "control", "evaluate_", "report"),
}

DEFAULT_SECONDS = 5.0  # of a step that no budget names
PRINT_SECONDS = 30.0


def run(
    suite: str,
    runs: Path,
    stage: str | None = None,
    number: int | None = None,
    device: str | None = None,
    sample: Path | None = None,
) -> tuple[Suite, bool]:
    """Bring a suite, or one stage of it, up to date.

    Args:
        suite: a suite's name or file.
        runs: the folder of all results; the suite gets a folder of its own in it.
        stage: one of `STAGES`; all of them where None.
        number: CPU cores to use; all where None.
        device: "cpu" or "cuda", in place of the suite's own.
        sample: a folder of generated events, in place of the embedded ones.

    Returns:
        The suite, and whether all of it is there now.

    Raises:
        BadInput: a mistake in the suite, another run of it at work, or an unwritable folder.
    """
    the_suite = suites.load(suite, device, sample)
    folder = runs / the_suite.name
    with sole_owner(folder):
        the_suite.save(folder / "suite.json")
        if stage in (None, "train"):
            _check_settings(folder)
            _call("train", "migrate", "--runs", str(runs))
        good = _snakemake(the_suite, folder, stage, number or cores())
        if stage in (None, "benchmark"):
            command = [sys.executable, "-m", "train", "record", str(folder), "--runs", str(runs)]
            good = subprocess.run(command, check=False).returncode == 0 and good
    return the_suite, good


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Own a suite's folder. The kernel takes the lock back when its owner dies, so no stale one can be left."""
    path = folder / ".owner"
    with events.writable(path):
        handle = open(path, "a+")  # noqa: SIM115 (held until the end)
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            raise BadInput(f"{folder}: another run is at work there ({handle.read().strip()}); wait for it") from error
        handle.truncate(0)
        handle.write(f"process {os.getpid()}")
        handle.flush()
        yield


def _check_settings(folder: Path) -> None:
    """Ask the training stage whether it knows every setting, before hours are spent."""
    _call("train", "check", str(folder / "suite.json"))


def _call(package: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", package, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"python -m {package} {arguments[0]} failed"]
        raise BadInput(lines[-1].removeprefix("error: "))


def _snakemake(the_suite: Suite, folder: Path, stage: str | None, number: int) -> bool:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory", str(folder)]
    # Our own lock stands in for Snakemake's, which outlives its owner.
    command += ["--nolock", "--rerun-incomplete", "--keep-going", "--scheduler", "greedy", "--nocolor"]
    # Each job that ends leaves Snakemake a timer of this length that renews itself; hundreds a second eat a core.
    command += ["--max-jobs-per-timespan", "100/4s"]
    command += ["--rerun-triggers", "mtime", "params", "input", "--cores", str(number)]
    if the_suite["device"] == "cuda":
        command += ["--resources", "gpu=1"]
    if stage is not None:
        rules = [name for name in _rules(the_suite) if name.startswith(STAGES[stage])]
        command += ["--allowed-rules", *rules, "--", stage]
    watch = Watch(the_suite["budget"], number)
    with (
        open(folder / "snakemake.log", "a") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        watch.showing(f"{the_suite.name}{f' ({stage})' if stage else ''}"),
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            watch.read(line.rstrip())
    for name, path in watch.failed:
        print(f"{name}: {_last_line(folder / path)}  (log: {folder / path})", file=sys.stderr)
    if process.returncode and not watch.failed:
        print(f"snakemake: {watch.last}  (log: {folder / 'snakemake.log'})", file=sys.stderr)
    return process.returncode == 0


def _rules(the_suite: Suite) -> list[str]:
    """The names of the Snakefile's rules for a suite."""
    names = ["train", "export", "infer", "benchmark", "task", "control", "report"]
    for method in [*the_suite["methods"], *the_suite.shared()]:
        entry = methods.get(method)
        names += [f"{step}_{method}" for step in ("fit", "export", "score", "evaluate")]
        names += [f"{step}_{role}_{method}" for step in ("throughput", "compare") for role in entry.roles]
        if "template" in entry.roles:
            names += [f"{step}_{method}" for step in ("template", "template_scores", "data_scores")]
    return names


def _last_line(path: Path) -> str:
    lines = path.read_text().strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "no output"


@dataclass
class Watch:
    """Follows Snakemake's output: jobs done, jobs failed, seconds left.

    Args:
        budget: expected seconds of a step on one core, by the start of its rule's name.
        cores: CPU cores that share the work.
    """

    budget: dict[str, float]
    cores: int
    failed: list[tuple[str, str]] = field(default_factory=list)
    last: str = ""

    def __post_init__(self) -> None:
        self._planned: collections.Counter[str] = collections.Counter()
        self._done: collections.Counter[str] = collections.Counter()
        self._spent: dict[str, float] = collections.defaultdict(float)
        self._running: dict[str, tuple[str, float]] = {}
        self._counting, self._failing = False, ""
        self._rule = ""
        self._printed = time.monotonic()

    @contextmanager
    def showing(self, title: str) -> Iterator[None]:
        """Show a bar on a terminal, and a line now and then in a log."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True)) as self._bar:
            self._task = self._bar.add_task(title, total=None, left="", visible=sys.stderr.isatty())
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
            elif match[1] not in STAGES and match[1] != "everything":
                self._planned[match[1]] = int(match[2])
        elif match := re.match(r"(?:local)?(?:rule|checkpoint) ([\w@.]+):", line):
            self._rule = match[1]
        elif (match := re.match(r"\s+jobid: (\d+)", line)) and not self._failing:
            self._running[match[1]] = (self._rule, time.monotonic())
        elif match := re.match(r"Finished jobid: (\d+)", line):
            rule, start = self._running.pop(match[1], ("", time.monotonic()))
            if rule in self._planned:
                self._done[rule] += 1
                self._spent[rule] += time.monotonic() - start
                self._show()
        elif match := re.match(r"Error in rule ([\w@.]+):", line):
            self._failing = match[1]
        elif self._failing and (match := re.match(r"\s+log: (\S+)", line)):
            self.failed.append((self._failing, match[1]))
            self._failing = ""

    def expected(self, rule: str) -> float:
        """Seconds one job of a rule takes: as measured so far, else by the budget, scaled by how that has held."""
        if self._done[rule]:
            return self._spent[rule] / self._done[rule]
        planned = sum(self._budgeted(name) * number for name, number in self._done.items())
        scale = sum(self._spent.values()) / planned if planned else 1.0
        return self._budgeted(rule) * scale

    def _budgeted(self, rule: str) -> float:
        return next((seconds for name, seconds in self.budget.items() if rule.startswith(name)), DEFAULT_SECONDS)

    def seconds_left(self) -> float:
        """An estimate of the seconds until the grid is done; jobs that run alone on the machine count in full."""
        left = 0.0
        for rule, number in self._planned.items():
            share = 1 if rule.startswith(("throughput", "compare", "report")) else self.cores
            left += (number - self._done[rule]) * self.expected(rule) / share
        return left

    def _show(self) -> None:
        done, total = sum(self._done.values()), sum(self._planned.values())
        left = f"about {self.seconds_left():.0f} s left" if done < total else ""
        self._bar.update(self._task, completed=done, total=total, left=left)
        if not sys.stderr.isatty() and time.monotonic() - self._printed > PRINT_SECONDS:
            print(f"{self._title}: {done} of {total} steps, {left}", flush=True)
            self._printed = time.monotonic()

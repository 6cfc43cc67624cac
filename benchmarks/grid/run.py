"""Run a suite's grid with Snakemake: what is missing or changed, one owner at a time, with progress and time left."""

import collections
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Suite
from sideband.infer import events, process
from sideband.infer.errors import BadInput
from sideband.infer.provenance import cores

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
GRACE = 5.0  # seconds that processes have to end by themselves
GRACE_ALONE = 1.0  # the last one: Snakemake, which waits for nothing but its own timers
STEPS = ".steps"  # in a run's folder: a locked file of each step that is at work
# The log of a failed job, and the status or the signal that its shell ended with, as Snakemake tells them.
ENDED = re.compile(r"> (\S+) 2>&1' (?:returned non-zero exit status (\d+)|died with <Signals\.(\w+))")
BY_SIGNAL = {128 + each: each.name for each in signal.Signals}  # what shells return for it
PLACE = re.compile(r"[^/]+/(observed|n\d+)/s\d+(/[^/]+)?")  # of a task or a cell, in a run's folder


def run(
    suite: str,
    runs: Path,
    stage: str | None = None,
    number: int | None = None,
    device: str | None = None,
    sample: Path | None = None,
    fresh: bool = False,
) -> tuple[Suite, bool]:
    """Bring a suite, or one stage of it, up to date.

    Everything is checked before anything is written. A signal ends every process that was started, and then this one.

    Args:
        suite: a suite's name or file.
        runs: the folder of all results; the suite gets a folder of its own in it.
        stage: one of `STAGES`; all of them where None.
        number: CPU cores to use; all where None.
        device: "cpu" or "cuda", in place of the suite's own.
        sample: a folder of generated events, in place of the embedded ones.
        fresh: take the folder for this suite, whatever it belonged to: what is not of its grid is removed.

    Returns:
        The suite, and whether all of it is there now.

    Raises:
        BadInput: a mistake in the suite or its data, a folder that belongs to another one, another run at work in it,
            or an unwritable folder.
        process.Interrupted: a signal has ended it; a note says how many steps were at work.
    """
    the_suite = suites.load(suite, device, sample)
    folder = runs / the_suite.name
    changed = _changed(the_suite, folder, fresh)
    if stage in (None, "train"):
        _check_settings(the_suite)
        if changed is None or "dataset" in changed:
            the_suite.check_data()
    with sole_owner(folder) as owner, _parent_of_steps(folder), _nothing_left(folder):
        changed = _changed(the_suite, folder, fresh)
        if fresh:
            _clear(the_suite, folder, report=changed != [])
        elif changed:
            print(
                f"{the_suite.name}: {', '.join(changed)} changed since the last run; what depends on it is made again"
            )
        the_suite.save(folder / "suite.json")
        if stage in (None, "train"):
            _call("benchmarks", "migrate", "--runs", str(runs))
        good = _snakemake(the_suite, folder, stage, number or cores(), owner)
        if stage in (None, "benchmark"):
            command = [sys.executable, "-m", "sideband.benchmarks", "record", str(folder), "--runs", str(runs)]
            good = subprocess.run(command, check=False).returncode == 0 and good
    return the_suite, good


# Whose folder it is


def _changed(the_suite: Suite, folder: Path, fresh: bool) -> list[str] | None:
    """The keys in which a suite differs from the one that a folder belongs to; None where it belongs to none.

    Raises:
        BadInput: the folder belongs to another suite, or to nobody knows whom, and is not to be taken.
    """
    ways_out = "`--runs OTHER` puts the results elsewhere, `--fresh` takes this folder for the suite at hand"
    kept = folder / "suite.json"
    if not kept.exists():
        held = folder.is_dir() and [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        if held and not fresh:
            raise BadInput(f"{folder}: holds {held[0]}, but no suite.json of a run; {ways_out}")
        return None
    try:
        file, keys = the_suite.differing(kept)
    except BadInput as error:
        if fresh:
            return None
        raise BadInput(f"{error}; {ways_out}") from error
    # Those that come with Sideband change with it, and with --device and --events.
    shipped = the_suite.file in suites.names() and (file or the_suite.name) in suites.names()
    if keys and not (fresh or shipped):
        named, ours = ", ".join(keys), the_suite.file
        how = f"as it was before its {named} changed" if file == ours else f"and {ours} differs from that in {named}"
        raise BadInput(f"{folder}: belongs to {file or 'another suite'}, {how}; {ways_out}")
    return keys


def _clear(the_suite: Suite, folder: Path, report: bool) -> None:
    """Remove cells, tasks, controls and logs that are not of a suite's grid, and a `report` on another suite.

    What no run has made stays, whatever it is.
    """
    cells = list(the_suite.cells(shared=True))
    windows, tasks = set(the_suite.windows()), {cell.task for cell in cells}
    kept = tasks | {cell.folder for cell in cells}
    logs = {"report", *(f"{window}_control" for window in windows)}
    logs |= {f"{task.replace('/', '_')}_{rule}" for task in tasks for rule in _rules(the_suite)}
    gone = [path for path in folder.glob("logs/*.log") if path.stem not in logs]
    gone += [path for path in folder.glob("*/control.json") if path.parent.name not in windows]
    for path in gone:
        path.unlink()
    for base in (folder, folder / "checkpoints"):
        for path in [*base.glob("*/*/*/*"), *base.glob("*/*/*")]:
            place = path.relative_to(base).as_posix()
            if path.is_dir() and PLACE.fullmatch(place) and place not in kept:
                shutil.rmtree(path)
                for parent in (path.parent, path.parent.parent):
                    with suppress(OSError):  # not empty
                        parent.rmdir()
    if report and (folder / "report").exists():
        shutil.rmtree(folder / "report")


@contextmanager
def sole_owner(folder: Path) -> Iterator[IO[str]]:
    """Own a suite's folder. The kernel takes the lock back when its owners die, so no stale one can be left.

    Yields:
        The locked file. Whoever it is handed to owns the folder too, and writes its process number there.

    Raises:
        BadInput: another run is at work, or steps that an earlier one has left; the message has their numbers.
    """
    path = folder / ".owner"
    with events.writable(path):
        handle = open(path, "a+")  # noqa: SIM115 (held until the end)
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            told = [int(number) for number in re.findall(r"\d{1,9}", handle.read())]
            owners = [number for number in told if psutil.pid_exists(number)] or told
            raise BadInput(f"{folder}: another run is at work there {_by_hand(owners)}") from error
        steps = [number for number in process.living_steps(folder / STEPS) if number != os.getpid()]
        if steps:
            raise BadInput(f"{folder}: steps of an earlier run are still at work there {_by_hand(steps)}")
        handle.truncate(0)
        _sign(handle, os.getpid())
        yield handle


def _sign(owner: IO[str], number: int) -> None:
    owner.write(f"process {number}\n")
    owner.flush()


def _by_hand(numbers: list[int]) -> str:
    what = "process" if len(numbers) == 1 else "processes"
    return f"({what} {', '.join(map(str, numbers))}); wait for that, or end it: kill {' '.join(map(str, numbers))}"


# Processes


@contextmanager
def _parent_of_steps(folder: Path) -> Iterator[None]:
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
def _nothing_left(folder: Path) -> Iterator[None]:
    """End every process of the run, where the block ends by a signal or an error."""
    try:
        yield
    except BaseException:
        _end_all(folder)
        raise


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


def _check_settings(the_suite: Suite) -> None:
    """Ask the training stage whether it knows every setting, before hours are spent."""
    with tempfile.TemporaryDirectory() as place:
        the_suite.save(Path(place) / "suite.json")
        _call("train", "check", str(Path(place) / "suite.json"))


def _call(package: str, *arguments: str) -> None:
    command = [sys.executable, "-m", f"sideband.{package}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"python -m {package} {arguments[0]} failed"]
        raise BadInput(lines[-1].removeprefix("error: "))


def _snakemake(the_suite: Suite, folder: Path, stage: str | None, number: int, owner: IO[str]) -> bool:
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
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[owner.fileno()]
        ) as snakemake,
        watch.showing(f"{the_suite.name}{f' ({stage})' if stage else ''}"),
        _nothing_left(folder),
    ):
        _sign(owner, snakemake.pid)
        assert snakemake.stdout is not None
        try:
            for line in snakemake.stdout:
                log.write(line)
                watch.read(line.rstrip())
        except KeyboardInterrupt as interruption:
            interruption.add_note(f"{watch.running} step{'s' * (watch.running != 1)} at work ended")
            raise
    for name, path in watch.failed:
        _tell(name, watch.signals.get(path, ""), _last_line(folder / path), folder / path)
    if snakemake.returncode and not watch.failed:
        ended = BY_SIGNAL.get(128 - snakemake.returncode, "")
        _tell("snakemake", ended, watch.last, folder / "snakemake.log")
    return snakemake.returncode == 0


def _tell(what: str, ended: str, last: str, log: Path) -> None:
    """Say on one line that something has failed: by a signal, or with a last line of output."""
    said = f"ended by {ended}; the same command goes on from there" if ended else last
    print(f"{what}: {said}  (log: {log})", file=sys.stderr)


def _rules(the_suite: Suite) -> list[str]:
    """The names of the Snakefile's rules for a suite."""
    names = ["train", "export", "infer", "benchmark", "task", "control", "report"]
    for method in [*the_suite["methods"], *the_suite.shared()]:
        entry = catalogue.get(method)
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
        failed: rule and log of each job that has failed; signals: what has ended some of them, by log.
        last: the last line.
    """

    budget: dict[str, float]
    cores: int
    failed: list[tuple[str, str]] = field(default_factory=list)
    signals: dict[str, str] = field(default_factory=dict)
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
        elif match := ENDED.search(line):
            ended = match[3] or BY_SIGNAL.get(int(match[2]))
            if ended:
                self.signals[match[1]] = ended
        elif match := re.match(r"Error in rule ([\w@.]+):", line):
            self._failing = match[1]
        elif self._failing and (match := re.match(r"\s+jobid: (\d+)", line)):
            self._running.pop(match[1], None)
        elif self._failing and (match := re.match(r"\s+log: (\S+)", line)):
            self.failed.append((self._failing, match[1]))
            self._failing = ""

    @property
    def running(self) -> int:
        """Jobs that have begun and not ended."""
        return len(self._running)

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

"""Snakemake at work in a folder: with progress and time left, ended by signals, and one line for what has failed."""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sideband.benchmarks.grid import spent
from sideband.benchmarks.grid.owner import sign
from sideband.benchmarks.grid.processes import cancelled, nothing_left, parent_of_steps
from sideband.benchmarks.grid.profile import environment
from sideband.benchmarks.grid.progress import BY_SIGNAL, Watch
from sideband.benchmarks.grid.warm import kept_warm
from sideband.infer.called import called
from sideband.infer.errors import BadInput
from sideband.infer.provenance import cores


@dataclass(frozen=True)
class Workflow:
    """Rules, and where and with what Snakemake runs them.

    Args:
        snakefile: the rules.
        folder: where they write; it holds snakemake.log too.
        title: what progress calls it.
        config: what tells the rules, by key; no value may hold a space.
        options: of Snakemake, and the targets; all of the file's where there are none.
        number: CPU cores to use; all where None, or as many as the profile says.
        profile: the folder of a Snakemake profile, which hands the steps to a cluster.
        resources: of this machine that steps share, with how many there are of each.
        budget: expected seconds of a step on one core, by the start of its rule's name.
        warm: whether steps fork from processes that have imported the libraries; a cluster's never do.
    """

    snakefile: Path
    folder: Path
    title: str
    config: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    number: int | None = None
    profile: Path | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    budget: dict[str, float] = field(default_factory=dict)
    warm: bool = True

    def run(self, owner: IO[str]) -> bool:
        """Bring every target up to date, and say on one line each what has failed. A signal ends every process of it.

        Args:
            owner: the lock of the folder, which the caller owns.

        Returns:
            Whether all targets are there now.

        Raises:
            BadInput: a cluster takes no job.
            process.Interrupted: a signal has ended it; a note says how many steps were at work.
        """
        number = (self.number or cores()) if self.profile is None else None
        watch = Watch(self.budget, number, lambda rule, seconds: spent.note(self.folder, rule, seconds))
        with (
            parent_of_steps(self.folder),
            kept_warm() if self.warm and self.profile is None else nullcontext() as warm,
            open(self.folder / "snakemake.log", "a") as log,
            subprocess.Popen(
                self.command(warm),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=[owner.fileno()],
                env=environment(self.profile),
                # Jobs of a cluster are cancelled in peace: a terminal's Ctrl-C does not reach Snakemake as well.
                process_group=None if self.profile is None else 0,
            ) as snakemake,
            watch.showing(self.title),
            nothing_left(self.folder),
        ):
            sign(owner, snakemake.pid)
            assert snakemake.stdout is not None
            try:
                for line in snakemake.stdout:
                    log.write(line)
                    watch.read(line.rstrip())
            except KeyboardInterrupt as interruption:
                if self.profile is not None:
                    cancelled(snakemake)
                interruption.add_note(f"{watch.running} step{'s' * (watch.running != 1)} at work ended")
                raise
        if watch.refused:
            raise BadInput(
                f"the cluster takes no job: {watch.refused}; change {self.profile}/config.yaml (log: {log.name})"
            )
        self._tell(watch, snakemake.returncode)
        return snakemake.returncode == 0

    def command(self, warm: Path | None = None) -> list[str]:
        """The command line of Snakemake; `warm` is a folder of `kept_warm`."""
        words = [sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile), "--directory", str(self.folder)]
        # Our own lock stands in for Snakemake's, which outlives its owner.
        words += ["--nolock", "--rerun-incomplete", "--keep-going", "--scheduler", "greedy", "--nocolor"]
        # Each job that ends leaves Snakemake a timer of this length that renews itself; hundreds a second eat a core.
        words += ["--max-jobs-per-timespan", "100/4s"]
        words += ["--rerun-triggers", "mtime", "params", "input"]
        if self.profile is not None:
            words += ["--profile", str(self.profile)]
        elif self.resources:
            words += ["--resources", *(f"{name}={number}" for name, number in self.resources.items())]
        if self.number is not None or self.profile is None:
            words += ["--cores", str(self.number or cores())]
        config = {**({"warm": str(warm)} if warm else {}), **self.config}
        words += ["--config", *(f"{key}={value}" for key, value in config.items())] if config else []
        return [*words, *self.options]

    def _tell(self, watch: Watch, status: int) -> None:
        reasons: dict[tuple[str, str], list[tuple[str, Path]]] = {}
        for name, place in watch.failed:
            reason = (watch.signals.get(place, ""), _last_line(self.folder / place))
            reasons.setdefault(reason, []).append((name, self.folder / place))
        for reason, ((name, path), *more) in reasons.items():  # what is wrong with a task fails every fit on it alike
            others = f" and {len(more)} more step{'s' * (len(more) > 1)}" if more else ""
            _report_failure(name + others, *reason, path)
        if status and not watch.failed:
            ended = BY_SIGNAL.get(128 - status, "")
            _report_failure("snakemake", ended, watch.last, self.folder / "snakemake.log")


def call(package: str, *arguments: str) -> None:
    """Run a command of another stage; raises `BadInput` with its last line if it fails."""
    command = [sys.executable, "-m", f"sideband.{package}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{called(package, arguments[0])} failed"]
        raise BadInput(lines[-1].removeprefix("error: "))


def _report_failure(what: str, ended: str, last: str, log: Path) -> None:
    reason = f"ended by {ended}; the same command goes on from there" if ended else last
    print(f"{what}: {reason}  (log: {log})", file=sys.stderr)


def _last_line(path: Path) -> str:
    lines = path.read_text().strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "no output"

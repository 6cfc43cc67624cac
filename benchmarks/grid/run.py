"""Run a suite's grid with Snakemake: what is missing or changed, one owner at a time, with progress and time left."""

import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from sideband.benchmarks.grid import steps
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.folder import changed, clear
from sideband.benchmarks.grid.owner import sign, sole_owner
from sideband.benchmarks.grid.piece import Piece
from sideband.benchmarks.grid.processes import cancelled, nothing_left, parent_of_steps
from sideband.benchmarks.grid.profile import environment
from sideband.benchmarks.grid.progress import BY_SIGNAL, Watch
from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.grid.warm import kept_warm
from sideband.infer.called import CALLED, called, program
from sideband.infer.errors import BadInput
from sideband.infer.provenance import cores

WHOLE = Piece()
SNAKEFILE = Path(__file__).with_name("Snakefile")


def run(
    suite: str,
    runs: Path,
    stage: str | None = None,
    number: int | None = None,
    device: str | None = None,
    sample: Path | None = None,
    fresh: bool = False,
    piece: Piece = WHOLE,
    profile: Path | None = None,
) -> tuple[Suite, bool]:
    """Bring a suite, or one stage of it, up to date.

    Everything is checked before anything is written. A signal ends every process that was started, and then this one.

    Args:
        suite: a suite's name or file.
        runs: the folder of all results; the suite gets a folder of its own in it.
        stage: one of `steps.STAGES`; all of them where None.
        number: CPU cores to use; all where None, or as many as the profile says.
        device: "cpu" or "cuda", in place of the suite's own.
        sample: a folder of generated events, in place of the embedded ones.
        fresh: take the folder for this suite, whatever it belonged to; what is not in its grid is removed.
        piece: the part of the grid to run.
        profile: the folder of a Snakemake profile, which hands the steps to a cluster.

    Returns:
        The suite, and whether all of it that was asked for is there now.

    Raises:
        BadInput: a mistake in the suite or its data, a folder of another suite, another run at work in it, or an
            unwritable folder.
        process.Interrupted: a signal has ended it; a note says how many steps were at work.
    """
    os.environ[CALLED] = program()
    the_suite = suites.load(suite, device, sample)
    piece.check(the_suite)
    folder = runs / the_suite.name
    keys = changed(the_suite, folder, fresh)
    if stage in (None, "train"):
        check_settings(the_suite)
        if keys != []:  # the events, or what is to be drawn of them
            the_suite.problem.check_data(the_suite)
    with sole_owner(folder) as owner, parent_of_steps(folder), nothing_left(folder):
        keys = changed(the_suite, folder, fresh)
        if fresh:
            clear(the_suite, folder, report=keys != [])
        elif keys:
            print(f"{the_suite.name}: {', '.join(keys)} changed since the last run; what depends on it is made again")
        the_suite.save(folder / "suite.json")
        if stage in (None, "train"):
            _call("benchmarks", "migrate", "--runs", str(runs))
        good = _snakemake(the_suite, folder, stage, number, owner, piece, profile)
        if stage in (None, "benchmark"):
            command = [sys.executable, "-m", "sideband.benchmarks", "record", str(folder), "--runs", str(runs)]
            good = subprocess.run(command, check=False).returncode == 0 and good
    return the_suite, good


def check_settings(the_suite: Suite) -> None:
    """Ask the training stage whether it knows every setting, before hours are spent; raises `BadInput`."""
    with tempfile.TemporaryDirectory() as place:
        the_suite.save(Path(place) / "suite.json")
        _call("train", "check", str(Path(place) / "suite.json"))


def _call(package: str, *arguments: str) -> None:
    command = [sys.executable, "-m", f"sideband.{package}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{called(package, arguments[0])} failed"]
        raise BadInput(lines[-1].removeprefix("error: "))


def _snakemake(
    the_suite: Suite,
    folder: Path,
    stage: str | None,
    number: int | None,
    owner: IO[str],
    piece: Piece,
    profile: Path | None = None,
) -> bool:
    """Run Snakemake in a folder that is owned, with progress; say on one line each what has failed."""
    watch = Watch(the_suite["budget"], (number or cores()) if profile is None else None)
    with (
        # Warm processes serve this machine alone.
        kept_warm() if profile is None else nullcontext() as warm,
        open(folder / "snakemake.log", "a") as log,
        subprocess.Popen(
            _command(the_suite, folder, stage, number, piece, warm, profile),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[owner.fileno()],
            env=environment(profile),
            # Jobs of a cluster are cancelled in peace: a terminal's Ctrl-C does not reach Snakemake as well.
            process_group=None if profile is None else 0,
        ) as snakemake,
        watch.showing(f"{the_suite.name}{f' ({stage})' if stage else ''}"),
        nothing_left(folder),
    ):
        sign(owner, snakemake.pid)
        assert snakemake.stdout is not None
        try:
            for line in snakemake.stdout:
                log.write(line)
                watch.read(line.rstrip())
        except KeyboardInterrupt as interruption:
            if profile is not None:
                cancelled(snakemake)
            interruption.add_note(f"{watch.running} step{'s' * (watch.running != 1)} at work ended")
            raise
    if watch.refused:
        raise BadInput(f"the cluster takes no job: {watch.refused}; change {profile}/config.yaml (log: {log.name})")
    reasons: dict[tuple[str, str], list[tuple[str, Path]]] = {}
    for name, place in watch.failed:
        reason = (watch.signals.get(place, ""), _last_line(folder / place))
        reasons.setdefault(reason, []).append((name, folder / place))
    for reason, ((name, path), *more) in reasons.items():  # what is wrong with a task fails every fit on it alike
        others = f" and {len(more)} more step{'s' * (len(more) > 1)}" if more else ""
        _report_failure(name + others, *reason, path)
    if snakemake.returncode and not watch.failed:
        ended = BY_SIGNAL.get(128 - snakemake.returncode, "")
        _report_failure("snakemake", ended, watch.last, folder / "snakemake.log")
    return snakemake.returncode == 0


def _command(
    the_suite: Suite,
    folder: Path,
    stage: str | None,
    number: int | None,
    piece: Piece,
    warm: Path | None,
    profile: Path | None,
) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory", str(folder)]
    # Our own lock stands in for Snakemake's, which outlives its owner.
    command += ["--nolock", "--rerun-incomplete", "--keep-going", "--scheduler", "greedy", "--nocolor"]
    # Each job that ends leaves Snakemake a timer of this length that renews itself; hundreds a second eat a core.
    command += ["--max-jobs-per-timespan", "100/4s"]
    command += ["--rerun-triggers", "mtime", "params", "input"]
    if profile is not None:
        command += ["--profile", str(profile)]
    elif the_suite["device"] == "cuda":
        command += ["--resources", "gpu=1"]
    if number is not None or profile is None:
        command += ["--cores", str(number or cores())]
    configured = [*([f"warm={warm}"] if warm else []), *piece.words()]
    command += ["--config", *configured] if configured else []
    if stage is not None:
        command += ["--allowed-rules", *steps.rules(the_suite, stage), "--", stage]
    return command


def _report_failure(what: str, ended: str, last: str, log: Path) -> None:
    reason = f"ended by {ended}; the same command goes on from there" if ended else last
    print(f"{what}: {reason}  (log: {log})", file=sys.stderr)


def _last_line(path: Path) -> str:
    lines = path.read_text().strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "no output"

"""Run a suite's grid with Snakemake: what is missing or changed, one owner at a time, with progress and time left."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sideband.benchmarks.grid import steps
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.folder import changed, clear
from sideband.benchmarks.grid.owner import sole_owner
from sideband.benchmarks.grid.piece import Piece
from sideband.benchmarks.grid.processes import nothing_left, parent_of_steps
from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.grid.workflow import Workflow, call
from sideband.infer.called import CALLED, program

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
            call("benchmarks", "migrate", "--runs", str(runs))
        good = _workflow(the_suite, folder, stage, number, piece, profile).run(owner)
        if stage in (None, "benchmark"):
            command = [sys.executable, "-m", "sideband.benchmarks", "record", str(folder), "--runs", str(runs)]
            good = subprocess.run(command, check=False).returncode == 0 and good
    return the_suite, good


def check_settings(the_suite: Suite) -> None:
    """Ask the training stage whether it knows every setting, before hours are spent; raises `BadInput`."""
    with tempfile.TemporaryDirectory() as place:
        the_suite.save(Path(place) / "suite.json")
        call("train", "check", str(Path(place) / "suite.json"))


def _workflow(
    the_suite: Suite, folder: Path, stage: str | None, number: int | None, piece: Piece, profile: Path | None
) -> Workflow:
    """The grid of a suite, or one stage of it."""
    return Workflow(
        SNAKEFILE,
        folder,
        f"{the_suite.name}{f' ({stage})' if stage else ''}",
        piece.words(),
        () if stage is None else ("--allowed-rules", *steps.rules(the_suite, stage), "--", stage),
        number,
        profile,
        {**({"gpu": 1} if the_suite["device"] == "cuda" else {}), **steps.traces(the_suite)},
        the_suite["budget"],
    )

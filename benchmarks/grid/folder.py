"""The folder of a run: which suite it belongs to, and what of it a new suite can keep."""

import re
import shutil
from contextlib import suppress
from pathlib import Path

from sideband.benchmarks.grid import steps
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Suite
from sideband.infer.errors import BadInput

PLACE = re.compile(r"[^/]+/(observed|n\d+)/s\d+(/[^/]+)?")  # of a task or a cell, in a run's folder


def changed(the_suite: Suite, folder: Path, fresh: bool) -> list[str] | None:
    """The keys in which a suite differs from the one that a folder belongs to; None where it belongs to none.

    Raises:
        BadInput: the folder belongs to another suite, or to an unknown one, and `fresh` is not given.
    """
    ways_out = "`--runs OTHER` puts the results elsewhere, `--fresh` takes this folder for the suite at hand"
    kept = folder / "suite.json"
    if not kept.exists():
        there = folder.is_dir() and [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        if there and not fresh:
            raise BadInput(f"{folder}: holds {there[0]}, but no suite.json of a run; {ways_out}")
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


def clear(the_suite: Suite, folder: Path, report: bool) -> None:
    """Remove cells, tasks, controls and logs that are not in a suite's grid, and the `report` of another suite.

    Files that no run has made stay.
    """
    cells = list(the_suite.cells(shared=True))
    windows, tasks = set(the_suite.windows()), {cell.task for cell in cells}
    kept = tasks | {cell.folder for cell in cells}
    logs = {"report", *(f"{window}_control" for window in windows)}
    rules = list(steps.rules(the_suite))
    logs |= {f"{task.replace('/', '_')}_{rule}" for task in tasks for rule in rules}
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

"""Where the time of a run went: the seconds of every job that it finished, by step and by rule."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sideband.benchmarks.grid import steps
from sideband.infer.errors import BadInput

FILE = "steps.csv"  # in a run's folder
HEAD = ("rule", "seconds")
MOST = 15  # rules that the table names

Job = tuple[str, float]  # its rule, and its seconds on the clock


def note(folder: Path, rule: str, seconds: float) -> None:
    """Add a job that has ended."""
    path = folder / FILE
    begins = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        if begins:
            rows.writerow(HEAD)
        rows.writerow((rule, f"{seconds:.2f}"))


def read(folder: Path) -> list[Job]:
    """The jobs of all runs in a folder; raises `BadInput` where there is no list of them, or a damaged one."""
    path = folder / FILE
    if not path.is_file():
        raise BadInput(f"{path}: no such file; give the folder of a suite that has run, as in runs/quick")
    try:
        with path.open(newline="") as file:
            return [(row["rule"], float(row["seconds"])) for row in csv.DictReader(file)]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not a list of jobs; remove it, and the next run begins a new one") from error


def tables(jobs: Sequence[Job]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Two tables, each with its title: what the steps took, and the rules that took most."""
    yield "all steps", [("step", "jobs", "seconds", "longest", "share"), *_rows(jobs, step)]
    rules = _rows(jobs, lambda rule: rule)[:MOST]
    yield f"the {MOST} longest rules", [("rule", "jobs", "seconds", "longest", "share"), *rules]


def _rows(jobs: Sequence[Job], name: Callable[[str], str]) -> list[tuple[str, ...]]:
    """A line for each name of rules, the longest first."""
    found = defaultdict[str, list[float]](list)
    for rule, seconds in jobs:
        found[name(rule)].append(seconds)
    total = sum(seconds for _, seconds in jobs) or 1.0
    return [
        (key, str(len(each)), f"{sum(each):.0f}", f"{max(each):.1f}", f"{sum(each) / total:.0%}")
        for key, each in sorted(found.items(), key=lambda item: -sum(item[1]))
    ]


def step(rule: str) -> str:
    """The step of a rule: the longest name that begins it."""
    return max((name for name in steps.STEPS if rule == name or rule.startswith(f"{name}_")), key=len, default=rule)

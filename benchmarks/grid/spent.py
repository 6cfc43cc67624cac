"""Where the time of a run went: the seconds of every job that it finished, by step and by rule."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sideband.benchmarks.grid import steps
from sideband.infer.errors import BadInput

FILE = "steps.csv"  # in a run's folder
MOST = 15  # rules that the table names


def note(folder: Path, rule: str, seconds: float) -> None:
    """Add a job that has ended: its rule, and its seconds on the clock."""
    path = folder / FILE
    begins = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        if begins:
            rows.writerow(("rule", "seconds"))
        rows.writerow((rule, f"{seconds:.2f}"))


def read(folder: Path) -> pd.DataFrame:
    """The jobs of all runs in a folder: `step`, `rule`, `seconds`; raises `BadInput` where none has ended."""
    path = folder / FILE
    if not path.is_file():
        raise BadInput(f"{path}: no such file; give the folder of a suite that has run, as in runs/quick")
    jobs = pd.read_csv(path)
    jobs.insert(0, "step", [_step(rule) for rule in jobs["rule"]])
    return jobs


def tables(jobs: pd.DataFrame) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Two tables, each with its title: what the steps took, and the rules that took most."""
    total = jobs["seconds"].sum()
    for kind, title in (("step", "all steps"), ("rule", f"the {MOST} longest rules")):
        found = jobs.groupby(kind)["seconds"].agg(["size", "sum", "max"]).sort_values("sum", ascending=False)
        rows = [
            (str(name), f"{row['size']:.0f}", f"{row['sum']:.0f}", f"{row['max']:.1f}", f"{row['sum'] / total:.0%}")
            for name, row in found.head(MOST if kind == "rule" else len(found)).iterrows()
        ]
        yield title, [(kind, "jobs", "seconds", "longest", "share"), *rows]


def _step(rule: str) -> str:
    """The step of a rule: the longest name that begins it."""
    return max((name for name in steps.STEPS if rule == name or rule.startswith(f"{name}_")), key=len, default=rule)

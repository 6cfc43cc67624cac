"""Measure the growth of a run, point by point, with the real grid; finished points are kept."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd
import yaml

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.owner import sole_owner
from sideband.benchmarks.grid.run import SNAKEFILE
from sideband.benchmarks.grid.workflow import Workflow, call
from sideband.benchmarks.growth import Point
from sideband.infer import events, provenance

Row = dict[str, Any]

FILE = "growth.csv"
STEPS = {"cell": "export"}  # what a command is called as a step, where it has another name


def run(points: Sequence[Point], folder: Path, number: int | None = None) -> pd.DataFrame | None:
    """Measure what is missing, and write growth.csv after every point.

    Args:
        points: the points, in order.
        folder: of growth.csv; a point's own files are removed once it is measured.
        number: CPU cores; all where None. A step has one thread.

    Returns:
        A row for each point and step: `axis`, `value`, `step`, `jobs`, the sum of `seconds` and of `cpu_seconds`, the
        highest `peak_mib` of a job, and where it was measured. None where a step has failed, which is said on standard
        error.

    Raises:
        BadInput: another command is at work in the folder, or it cannot be written.
    """
    found: dict[Point, pd.DataFrame] = {}
    origin = provenance.record()
    with sole_owner(folder) as owner:
        call("benchmarks", "migrate", "--runs", str(folder))
        for place, point in enumerate(points):
            kept, suite = folder / f"{point.name}.json", point.suite()
            identity = {"suite": suite, "number": number, **origin}
            if not (kept.is_file() and events.read_json(kept)["identity"] == identity):
                print(f"point {place + 1} of {len(points)}: {point.value:,} {point.axis}", flush=True)
                rows = _measured(suite, folder / kept.stem, number, owner)
                if rows is None:
                    return None
                events.write_json(kept, {"identity": identity, "rows": rows})
            found[point] = _summed(events.read_json(kept)["rows"]).assign(**origin)
            table = pd.concat(
                [frame.assign(axis=point.axis, value=point.value) for point, frame in found.items()], ignore_index=True
            )
            with events.atomic(folder / FILE) as temporary:
                table.to_csv(temporary, index=False)
    return table


def _measured(content: Row, folder: Path, number: int | None, owner: IO[str]) -> list[Row] | None:
    """Run a suite, each step on its own; what every job took."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    suite = suites.load(path)
    suite.save(folder / "suite.json")
    noted = (folder / "measured.jsonl").resolve()
    grid = Workflow(SNAKEFILE, folder, folder.name, {"measured": str(noted)}, number=number, warm=False)
    if not grid.run(owner):
        return None
    rows = [json.loads(line) for line in noted.read_text().splitlines()]
    shutil.rmtree(folder)
    return rows


def _summed(rows: list[Row]) -> pd.DataFrame:
    jobs = pd.DataFrame(rows)
    jobs["step"] = jobs["step"].replace(STEPS)
    sums = {"jobs": ("seconds", "size"), "seconds": ("seconds", "sum"), "cpu_seconds": ("cpu_seconds", "sum")}
    return jobs.groupby("step", as_index=False).agg(**sums, peak_mib=("peak_mib", "max"))

"""Measure the rows of the comparison one after the other, each in a process of its own; finished rows are kept."""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.grid.owner import sole_owner
from sideband.benchmarks.grid.processes import nothing_left, parent_of_steps
from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.metrics import closure
from sideband.benchmarks.peers import CLOSURE, PEERS, table
from sideband.benchmarks.problems.search.evaluate import background
from sideband.infer import events, provenance
from sideband.infer.columns import joined
from sideband.infer.errors import BadInput, GateFailed

ROW = "row.json"
OVERHEAD = 2.0  # wall seconds of a row for each of its budget, before any row tells
TIMING = ("--batches", "1000", "10000", "--seconds", "1")  # the better batch counts

Row = dict[str, Any]


@dataclass(frozen=True)
class Race:
    """What all rows have in common.

    Args:
        suite: its first task is the one, and its settings are those of Sideband's fits.
        folder: of the results.
        cores: threads of every row.
        seconds: of training at most.
    """

    suite: Suite
    folder: Path
    cores: int
    seconds: float

    @property
    def task(self) -> Path:
        """The task."""
        return self.folder / "task.h5"

    def identity(self, name: str) -> Row:
        """What a row depends on; one of another identity is measured again."""
        packages = {each: _version(each) for each in PEERS.get(name, ())}
        given = {"cores": self.cores, "seconds": self.seconds, "closure": CLOSURE, "packages": packages}
        return {**given, "task": events.sha256(self.task), "suite": self.suite.content, **provenance.record()}

    def measure(self, name: str) -> Row:
        """Measure a row; one that cannot be measured here says why in `missing`."""
        out, limits = self.folder / name, ["--closure", CLOSURE, "--seconds", self.seconds, "--threads", self.cores]
        suite = ["--suite", self.folder / "suite.json", "--closure-events", self.suite["closure_events"]]
        try:
            _call("train", "peer", name, "--task", self.task, "--out", out, *suite, *limits)
            row = events.read_json(out / "peer.json")
            return {**row, "engine": "torch eager"} if name in PEERS else {**row, **self._exported(out)}
        except BadInput as error:
            return {"name": name, "title": name, "missing": str(error)}

    def _exported(self, out: Path) -> Row:
        """Export a method's template; its rate and its closure with ONNX Runtime."""
        given = [out / "template.onnx", "--task", self.task, "--threads", self.cores, "--out"]
        _call("export", "cell", out / "model.pt", "--task", self.task, "--out", out)
        _call("infer", "template", *given, out / "template.h5", "--expect", out / "template_torch.h5")
        _call("infer", "throughput", *given, out / "throughput.json", *TIMING)
        rows = [each for each in events.read_json(out / "throughput.json") if each["scope"] == "host"]
        best = max(rows, key=lambda row: row["events_per_second"])
        task = tasks.read(self.task)
        truth = background(task)
        assert truth is not None
        first = slice(0, min(self.suite["closure_events"], len(truth)))  # those that the looks of the fit were at
        made = joined(events.read(out / "template.h5", list(task.features), rows=first), list(task.features))
        found = closure.closure(truth.features, made, self.suite["closure_events"])
        rate = {key: best[key] for key in ("batch", "events_per_second", "p10", "p90")}
        return {"engine": "ONNX Runtime", "closure": found.auc, "error": found.error, **rate}


def run(race: Race, rows: Mapping[str, str]) -> list[Row]:
    """Measure what is missing, and write the table after every row.

    Args:
        race: what all rows have in common.
        rows: names in order, each with a reason to leave it out, or "".

    Raises:
        BadInput: no closure can be had of the suite's first task, another run is at work in the folder, or it cannot be
            written.
        GateFailed: a row has failed a check, or crashed; finished rows are kept.
    """
    suite = race.suite
    if not suite.labelled or None in suite.windows().values():
        raise BadInput(f"suite {suite.name}: its first task has no window or no labels for a closure; choose another")
    done: list[Row] = []
    with sole_owner(race.folder), parent_of_steps(race.folder), nothing_left(race.folder):
        suite.save(race.folder / "suite.json")
        window, injection, seed = (next(iter(each)) for each in (suite.windows(), suite.injections(), suite.seeds()))
        suite.draw(window, injection, seed, race.task)
        spent: list[float] = []
        for place, (name, reason) in enumerate(rows.items()):
            row = {"name": name, "title": name, "missing": reason} if reason else _kept(race, name)
            if row is None:
                each = sum(spent) / len(spent) if spent else OVERHEAD * race.seconds
                left = each * (len(rows) - place) / 60
                print(f"row {place + 1} of {len(rows)}: {name}; about {left:.0f} min left", flush=True)
                start = time.monotonic()
                row = race.measure(name)
                spent.append(time.monotonic() - start)
                if "missing" not in row:
                    row |= {"measured": time.strftime("%Y-%m-%d %H:%M"), "identity": race.identity(name)}
                    events.write_json(race.folder / name / ROW, row)
            done.append(row)
            table.write(done, race.folder)
    return done


def _kept(race: Race, name: str) -> Row | None:
    """A row that an earlier run has measured in just this way."""
    path = race.folder / name / ROW
    if not path.is_file():
        return None
    row: Row = events.read_json(path)
    return row if row.get("identity") == race.identity(name) else None


def _version(module: str) -> str:
    (distribution, *_) = metadata.packages_distributions()[module]
    return metadata.version(distribution)


def _call(package: str, *arguments: Any) -> None:
    """Run a command that shows its own progress.

    Raises:
        BadInput, GateFailed: it failed, as its status tells, with the last line that it said.
    """
    command = [sys.executable, "-m", f"sideband.{package}", *map(str, arguments)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{package} {arguments[0]} failed"]
        failure = BadInput if done.returncode == 2 else GateFailed
        raise failure(lines[-1].removeprefix("error: ").removeprefix("failed: "))

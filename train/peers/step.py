"""One row of the comparison with peers: train until the template closes, then see how fast it is drawn."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.tracking.journal import Record
from sideband.infer import events, provenance
from sideband.train import peers
from sideband.train.cell import fit_cell
from sideband.train.peers import own
from sideband.train.peers.loop import Trained
from sideband.train.peers.race import Array, Clock, Race
from sideband.train.run import derived_seed, remove_checkpoints
from sideband.train.suite import Suite

FOUND = "peer.json"
BATCHES = (1000, 10_000)  # events in a call; the better one counts
SECONDS = 1.0  # of timing for each

Row = dict[str, Any]


def measure(
    name: str, task_path: Path, out: Path, suite: Suite, goal: float, budget: float, most: int, threads: int
) -> None:
    """Train a peer, or a method of Sideband, and leave peer.json in `out`; of a method also model.pt, to export.

    Args:
        name: a file of this room, or a method whose template comes from shared fits alone.
        task_path, out: the task, and the row's folder.
        suite: the settings of Sideband's own fits.
        goal, budget: the closure AUC to reach, and the seconds of training at most.
        most: events a side of the closure test.
        threads: of torch.

    Raises:
        BadInput: no such peer, a package or a compiler is missing, or not such a task.
    """
    torch.set_num_threads(threads)
    _warm_up()
    task = tasks.read(task_path)
    race = Race(task, goal, budget, most, lambda line: print(f"{name}: {line}", flush=True))
    row = _own(name, task, out, suite, race, threads) if name in catalogue.CATALOGUE else _peer(name, task, race)
    last = race.looks[-1]
    looks = [asdict(look) for look in race.looks]
    row |= {"name": name, "threads": threads, "budget": budget, "reached": race.reached, **asdict(last), "looks": looks}
    events.write_json(out / FOUND, {"kind": "peer", **row, **provenance.record()})


def _warm_up() -> None:
    """Step an optimiser of nothing: torch imports hundreds of modules at its first step, which is no training."""
    nothing = torch.nn.Parameter(torch.zeros(1))
    nothing.grad = torch.zeros(1)
    torch.optim.Adam([nothing]).step()


def _peer(name: str, task: tasks.Task, race: Race) -> Row:
    module = peers.load(name)
    torch.manual_seed(derived_seed(task.seed, name))
    clock = Clock(race.budget)
    trained = Trained(module.build(task.width), task)
    trained.train(race, clock)
    version = f"{module.PACKAGE} {metadata.version(module.PACKAGE)}"
    return {"title": module.TITLE, "with": version, "settings": module.SETTINGS, **_rate(trained, race.masses)}


def _rate(trained: Trained, masses: Array) -> Mapping[str, Any]:
    """Events per second in torch eager, from masses to features in numpy, at the better batch."""
    from sideband.infer.throughput import time_calls  # beside ONNX Runtime, which no fit needs

    best: Row = {}
    for batch in BATCHES:
        timing = time_calls([partial(trained, np.resize(masses, batch))], batch, repeats=10, seconds=SECONDS)
        if timing["events_per_second"] > best.get("events_per_second", 0.0):
            best = {"batch": batch, **{key: timing[key] for key in ("events_per_second", "p10", "p90")}}
    return best


def _own(name: str, task: tasks.Task, out: Path, suite: Suite, race: Race, threads: int) -> Row:
    record = Record(out / "race", {"suite": suite.name, "method": name, **task.cell()})
    run = own.Watched(name, task.seed, torch.device("cpu"), out / "checkpoints", record, checkpoint_seconds=1e9)
    run.clock = Clock(race.budget)
    needs = own.train(name, task, suite, race, run, out)
    remove_checkpoints(run.checkpoints)
    settings, classifier = suite.settings(name), suite.classifier_of(name)
    fit_cell(name, task.path, out, settings, classifier, needs, threads=threads, suite=suite.name)
    described = f"settings and schedule of suite {suite.name}"
    return {"title": catalogue.get(name).title, "with": "Sideband", "settings": described}

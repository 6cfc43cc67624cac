"""The numbers of one score of showers: each sample of decays against photons, and closure of the generator."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.metrics import closure, sic
from sideband.benchmarks.metrics.matching import matched_weights
from sideband.benchmarks.problems.showers import draw as tasks
from sideband.benchmarks.simulate.showers.geometry import THRESHOLD, images, layer_energies
from sideband.infer import events, provenance

Record = dict[str, Any]
Array = NDArray[np.float32]

CLOSURE = 10_000  # showers a side, in the closure test of all voxels at most


def evaluate(the_task: Task, scores: Path, template: Path | None, closure_events: int | None) -> Record:
    """Evaluate one method's scores of the test showers, and the showers that it generates.

    Args:
        the_task: a task of showers.
        scores: scores of its test events.
        template: generated photons, if the method makes any.
        closure_events: showers a side in the closure test at most.

    Returns:
        `samples`: of each sample of decays its AUC, and SIC with the ε_B achieved, against all photons and against
        photons matched in deposited energy. `closure`: AUC of a classifier of all voxels, generated against true, and
        `closure_shape`: of one of the layers' shares and hits.
    """
    found = events.read(scores, ["score"])["score"]
    columns = events.read(the_task.path, ["deposited", "sample"], "test")
    deposited, sample = columns["deposited"], columns["sample"]
    record: Record = {"samples": [], "excess": None, "closure": None, "sic": None, "clamped_fraction": 0.0}
    record |= {"excess_missing": "showers have no mass window", **provenance.record()}
    photons = sample == 0
    for number, decay in enumerate(tasks.check(the_task), start=1):
        signal = sample == number
        score = np.concatenate([found[photons], found[signal]])
        label = np.repeat([0, 1], [photons.sum(), signal.sum()])
        matched = np.concatenate(matched_weights(deposited[photons], deposited[signal]))
        record["samples"].append(
            {
                "name": decay.name,
                **vars(decay),
                "events": int(signal.sum()),
                **_numbers(sic.roc(score, label)),
                **{f"matched_{key}": value for key, value in _numbers(sic.roc(score, label, matched)).items()},
            }
        )
    if template is None:
        record["closure_missing"] = "the method makes no template"
    else:
        truth = events.read(the_task.path, ["showers"], "test")["showers"][photons]
        made = events.read(template, ["showers"])["showers"]
        most = min(closure_events or CLOSURE, CLOSURE)
        record["closure"] = asdict(closure.closure(truth, made, most))
        record["closure_shape"] = asdict(closure.closure(shape(truth), shape(made), most))
    return record


def control(the_task: Task, closure_events: int | None) -> Record:
    """The closure test's floor, photons against photons; there are no sidebands that could control it."""
    columns = events.read(the_task.path, ["showers", "sample"], "test")
    photons = columns["showers"][columns["sample"] == 0]
    half = len(photons) // 2
    floor = closure.closure(photons[:half], photons[half:], min(closure_events or CLOSURE, CLOSURE))
    return {"floor": asdict(floor), "sidebands": None, **provenance.record()}


def shape(showers: Array) -> Array:
    """What anyone would look at first `[N, 9]`: layers' energies [MeV], hits, and the largest voxel's share, each."""
    hits = [(image >= THRESHOLD).sum((1, 2)) for image in images(showers)]
    energies = layer_energies(showers)
    largest = [image.max((1, 2)) for image in images(showers)]
    shares = np.stack(largest, 1) / np.maximum(energies, THRESHOLD)
    return np.column_stack([energies, *hits, shares]).astype(np.float32)


def _numbers(curve: sic.Roc) -> Record:
    at, efficiency = curve.achieved(sic.WORKING_POINT)
    largest, where = curve.maximum()
    return {"auc": curve.area, "sic": at, "achieved": efficiency, "max_sic": largest, "max_sic_at": where}

"""What an exported file says of itself, and realistic inputs for it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks import catalogue
from sideband.benchmarks.events.task import Task
from sideband.export.part import Part
from sideband.infer import draws, meaning, provenance
from sideband.infer.inputs import Constant, described
from sideband.infer.metadata import MAKERS, Port
from sideband.train import ports
from sideband.train.saved import Saved


def example(task: Task, part: Part, size: int, beside: Path) -> dict[str, NDArray[np.float32]]:
    """Realistic inputs `[size, columns]` of a graph.

    Args:
        task: the task.
        part: the graph; a template or a signal gets its draws, a score the data of the window.
        size: events.
        beside: the folder of the fit, where rows of its own lie.
    """
    inputs = part.inputs(task)
    if part.role in MAKERS:
        drawn = draws.from_task(task.path, inputs, task.seed, beside)
        return {name: values[:size] for name, values in drawn.blocks(0, -(-size // draws.BLOCK)).items()}
    data = task.events("data")
    data = data[task.inside(data)]
    rows = np.arange(size) % len(data)
    columns = {"features": data.features[rows], "condition": data.mass[rows, None]}
    return {name: columns[name] for name in inputs}


def describe(fit: Saved, task: Task, part: Part, outputs: tuple[str, ...], flop: float | None) -> dict[str, Any]:
    """The file's metadata, all but its parity."""
    method = catalogue.get(fit.method)
    everywhere = any(catalogue.get(need).everywhere for need in method.needs) and not method.own_fit
    given = ports.outputs(outputs, part.module if part.trees is None else None, task)
    settings = {
        "method": asdict(fit.settings),
        "classifier": asdict(fit.classifier_settings) if fit.classifier is not None else None,
        "shared": {name: asdict(shared) for name, shared in fit.needs.items()},
    }
    return {
        "role": part.role,
        "method": fit.method,
        "paper": method.paper,
        "scope": "all" if everywhere and part.role != "score" else "window",  # scores are fitted to one window's data
        "inputs": {name: _described(port, task) for name, port in part.inputs(task).items()},
        "outputs": {name: _described(port, task) for name, port in given.items()},
        "mass": task.mass,
        "mass_unit": task.units[task.mass],
        "window": list(task.window) if task.windowed else None,
        "mass_range": list(task.mass_range) if task.windowed else None,
        "injection": task.cell()["injection"],
        "seed": str(task.seed),
        "settings": settings,
        "fitted_range": fit.fitted_range.get(part.role, {}),
        "flop_per_event": flop,
        "cpu_only": part.trees is not None,
        "dataset": str(task.attributes["dataset"]),
        "dataset_sha256": str(task.attributes["dataset_sha256"]),
        "code": provenance.code(),
        "versions": provenance.versions(),
        "licence": "MIT",
    }


def _described(port: Port, task: Task) -> dict[str, Any]:
    entry: dict[str, Any] = {"columns": port.columns, "units": port.units, "widths": port.widths}
    entry = {key: list(values) for key, values in entry.items()} | meaning.described(port.meaning)
    if port.drawn is not None:
        entry["drawn"] = described(port.drawn)
    if isinstance(port.drawn, Constant):
        entry["value"] = port.drawn.value(task.window, task.mass_range)
    return entry

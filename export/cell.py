"""Export one fitted cell: every graph it has, gated, with one check.npz beside them."""

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import methods as catalogue
from benchmarks import task as tasks
from export import gates, graph
from infer import draws, events, provenance
from infer.errors import BadInput
from infer.model import STRUCTURED, Model
from train import ports, saved
from train.saved import Saved
from train.trees import TreeEnsemble

Feeds = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Part:
    """One graph of a cell: what the file is called, its role, and what is exported."""

    stem: str
    role: str
    source: nn.Module | TreeEnsemble


def parts(fit: Saved) -> Iterator[Part]:
    """Every graph of a fit: its modules, its classifier as the score, and the cross-fit's folds."""
    for role in catalogue.get(fit.method).roles:
        if role in fit.modules:
            yield Part(role, role, fit.modules[role])
    if fit.classifier is not None:
        yield Part("score", "score", fit.classifier)
    for fold, classifier in enumerate(fit.folds):
        yield Part(f"fold{fold}", "score", classifier)


def export_cell(fit_path: Path, task_path: Path, out: Path, cache: Path | None = None) -> list[Path]:
    """Export `fit_path` (model.pt) to `out`; returns the files.

    Each file gets its name only after every gate; the check vectors are written last. `cache` is a folder for traced
    graphs, which modules of one shape share.

    Raises:
        BadInput: not a fit, or nothing to export in it.
        GateFailed: a graph does not pass; no file of that name is left.
    """
    fit = saved.load(fit_path)
    task = tasks.read(task_path)
    if task.attributes["dataset_sha256"] != fit.task["dataset_sha256"] or task.features != fit.columns:
        raise BadInput(f"{task_path}: is not the task that {fit_path} was fitted on")
    # Of an earlier export nothing may stay that this one does not vouch for.
    for path in (out / "check.npz", out / "export.json", *(out / f"{part.stem}.onnx" for part in parts(fit))):
        path.unlink(missing_ok=True)
    vectors: dict[str, Any] = {}
    report: list[dict[str, Any]] = []
    files = []
    for part in parts(fit):
        path = out / f"{part.stem}.onnx"
        with events.atomic(path) as temporary:
            report.append(_export(fit, task, part, temporary, path, vectors, cache))
        files.append(path)
    if not files:
        raise BadInput(f"{fit_path}: '{fit.method}' is a fit that other methods share, it exports nothing of its own")
    with events.atomic(out / "check.npz") as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **vectors)
    events.write_json(out / "export.json", report)
    return files


def _export(
    fit: Saved,
    task: tasks.Task,
    part: Part,
    temporary: Path,
    path: Path,
    vectors: dict[str, Any],
    cache: Path | None,
) -> dict[str, Any]:
    source = part.source
    feeds = example(fit, task, part, max(gates.BATCHES))
    flop = None if isinstance(source, TreeEnsemble) else _flop_per_event(source, feeds)
    metadata = describe(fit, task, part, feeds, flop)
    if isinstance(source, TreeEnsemble):
        model = graph.from_trees(source)
        predict = source.predict

        def single(batch: Any) -> NDArray[Any]:
            return predict(batch["features"])[:, None]

        exact = single(feeds)
    else:
        few = {name: values[:7] for name, values in feeds.items()}
        identity = json.dumps([fit.method, metadata["settings"], provenance.code()])
        model = graph.from_module(source, few, ports.OUTPUT[part.role], cache, identity)
        in_double = copy.deepcopy(source).double()
        exact = ports.run(in_double, {k: torch.from_numpy(v).double() for k, v in feeds.items()}).numpy()

        def single(batch: Any) -> NDArray[Any]:
            return ports.run(source, {k: torch.from_numpy(v) for k, v in batch.items()}).numpy()

    gates.check_graph(model, path)
    atol = gates.tolerances(exact, getattr(source, "resolution", 0.0))
    _write(model, {**metadata, "parity": {}}, temporary)
    parity = gates.check_parity(Model(temporary), feeds, single, exact, atol, path)
    _write(model, {**metadata, "parity": parity}, temporary)

    final = Model(temporary)
    batch = {name: values[: gates.CHECKED] for name, values in feeds.items()}
    for name, values in batch.items():
        vectors[f"{part.stem}.input.{name}"] = values
    for name, values in final.run(batch).items():
        vectors[f"{part.stem}.output.{name}"] = values
    vectors[f"{part.stem}.atol"] = np.asarray(atol)
    vectors[f"{part.stem}.rtol"] = np.asarray(gates.TOLERANCE)
    return {
        "file": path.name,
        "sha256": final.sha256,
        "role": part.role,
        "flop_per_event": flop,
        **parity,
        **provenance.record(),
    }


def example(fit: Saved, task: tasks.Task, part: Part, size: int) -> Feeds:
    """Realistic inputs `[size, columns]` of a part: draws for a template, data of the window for a score."""
    width = fit.width
    if part.role == "template":
        assert isinstance(part.source, nn.Module)
        asked = ports.drawing(part.source, width, fit.method, fit.settings, task.seed)
        drawn = draws.from_task(task.path, *asked)
        return {name: values[:size] for name, values in drawn.blocks(0, -(-size // draws.BLOCK)).items()}
    data = task.events("data")
    data = data[task.inside(data)]
    rows = np.arange(size) % len(data)
    columns = {"features": data.features[rows], "condition": data.mass[rows, None]}
    names = ["features"] if isinstance(part.source, TreeEnsemble) else list(ports.inputs(part.source, width))
    return {name: columns[name] for name in names}


def describe(fit: Saved, task: tasks.Task, part: Part, feeds: Feeds, flop: float | None) -> dict[str, Any]:
    """The file's metadata, all but its parity."""
    entry = catalogue.get(fit.method)
    units = [task.units[name] for name in fit.columns]
    mass = {"columns": [task.mass], "units": [task.units[task.mass]]}
    features = {"columns": list(fit.columns), "units": units, "widths": list(fit.columns.values())}
    noise = feeds["noise"].shape[1] if "noise" in feeds else 0
    known = {
        "noise": {"columns": ["noise"], "units": [""], "widths": [noise]},
        "condition": mass,
        "source": features,
        "source_condition": mass,
        "anchor_low": {"columns": ["anchor_low"], "units": mass["units"]},
        "anchor_high": {"columns": ["anchor_high"], "units": mass["units"]},
        "features": features,
    }
    output = ports.OUTPUT[part.role]
    settings = {
        "method": asdict(fit.settings),
        "classifier": asdict(fit.classifier_settings) if fit.classifier is not None else None,
        "shared": {name: asdict(shared) for name, shared in fit.needs.items()},
    }
    return {
        "role": part.role,
        "method": fit.method,
        "paper": entry.paper,
        "scope": "all" if any(catalogue.get(need).everywhere for need in entry.needs) else "window",
        "source": entry.source or "",
        "inputs": {name: known[name] for name in feeds},
        "outputs": {output: features if part.role == "template" else {"columns": [output], "units": [""]}},
        "window": list(task.window) if task.windowed else None,
        "mass_range": list(task.mass_range) if task.windowed else None,
        "injection": task.cell()["injection"],
        "seed": str(task.seed),
        "settings": settings,
        "fitted_range": fit.fitted_range.get(part.role, {}),
        "flop_per_event": flop,
        "cpu_only": isinstance(part.source, TreeEnsemble),
        "dataset": str(task.attributes["dataset"]),
        "dataset_sha256": str(task.attributes["dataset_sha256"]),
        "code": provenance.code(),
        "versions": provenance.versions(),
        "licence": "MIT",
    }


def _write(model: onnx.ModelProto, metadata: dict[str, Any], path: Path) -> None:
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=json.dumps(value) if key in STRUCTURED else value)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _flop_per_event(module: nn.Module, feeds: Feeds) -> float:
    """Floating-point operations of matrix products per event, as torch counts them."""
    counter = FlopCounterMode(display=False)
    with counter:
        ports.run(module, {name: torch.from_numpy(values) for name, values in feeds.items()})
    return counter.get_total_flops() / len(next(iter(feeds.values())))

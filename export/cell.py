"""Export one fitted cell: every graph it has, gated, with one check.npz beside them."""

import copy
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task as tasks
from sideband.export import gates, graph
from sideband.infer import draws, events, provenance
from sideband.infer.errors import BadInput, GateFailed
from sideband.infer.model import STRUCTURED, Model
from sideband.train import ports, saved
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.run import check_folder
from sideband.train.saved import Saved

VECTORS, REPORT = "check.npz", "export.json"
OURS = re.compile(r"(template|score|density|fold\d+)\.onnx")  # of whichever fit
# What tells a graph from those of other fits.
IDENTITY = ("role", "method", "settings", "window", "mass_range", "injection", "seed", "dataset_sha256", "fitted_range")

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

    No file gets its name before every gate is passed, so that an earlier export outlives one that fails. The check
    vectors go first and come last: without them a kill has left an export unfinished.

    Args:
        fit_path: model.pt.
        task_path: the task it was fitted on.
        out: the cell's folder.
        cache: folder for traced graphs, which modules of one shape share.

    Raises:
        BadInput: not a fit, or nothing to export in it; another task; a place that cannot be written.
        GateFailed: a graph does not pass.
    """
    fit = saved.load(fit_path)
    found = list(parts(fit))
    if not found:
        raise BadInput(f"{fit_path}: '{fit.method}' is a fit that other methods share, it exports nothing of its own")
    vectors, told, *files = (out / name for name in (VECTORS, REPORT, *(f"{part.stem}.onnx" for part in found)))
    for folder in (out, *([cache] if cache else [])):
        check_folder(folder)
    for path in (vectors, told, *files):
        events.check_output(path, [fit_path, task_path])
    task = tasks.read(task_path)
    saved.check_task(fit, fit_path, task)

    checked: dict[str, Any] = {}
    with ExitStack() as held:  # what is opened first gets its name last
        temporary = {path: held.enter_context(events.atomic(path)) for path in (vectors, told, *files)}
        report = [
            _export(fit, task, part, temporary[path], path, checked, cache)
            for part, path in zip(found, files, strict=True)
        ]
        events.write_json(temporary[told], report)
        with open(temporary[vectors], "wb") as handle:
            np.savez(handle, **checked)
        vectors.unlink(missing_ok=True)
        for path in _of_before(told):
            if path not in files:
                path.unlink()
    return files


def _of_before(report: Path) -> Iterator[Path]:
    """The graphs that an earlier export left beside its report, and that are still what it says."""
    try:
        entries = events.read_json(report)
    except BadInput:  # none, or a damaged one
        return
    for entry in entries if isinstance(entries, list) else []:
        name = entry.get("file") if isinstance(entry, dict) else None
        path = report.with_name(name) if isinstance(name, str) and OURS.fullmatch(name) else None
        if path is not None and path.is_file() and events.sha256(path) == entry.get("sha256"):
            yield path


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

    if not np.isfinite(exact).all():
        raise GateFailed(f"{path}: the fitted module itself gives values that are not finite; fit it again")
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
    everywhere = any(catalogue.get(need).everywhere for need in entry.needs)
    settings = {
        "method": asdict(fit.settings),
        "classifier": asdict(fit.classifier_settings) if fit.classifier is not None else None,
        "shared": {name: asdict(shared) for name, shared in fit.needs.items()},
    }
    return {
        "role": part.role,
        "method": fit.method,
        "paper": entry.paper,
        "scope": "all" if everywhere and part.role != "score" else "window",  # scores are fitted to one window's data
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

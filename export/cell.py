"""Export one fitted cell: every graph it has, gated, with one check.npz beside them."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.events.task import Task
from sideband.export import gates
from sideband.export.describe import describe, example
from sideband.export.part import Part, parts
from sideband.infer import events, provenance
from sideband.infer.errors import BadInput, GateFailed
from sideband.infer.model import STRUCTURED, Model
from sideband.train import saved
from sideband.train.run import check_folder
from sideband.train.saved import Saved

VECTORS, REPORT = "check.npz", "export.json"
OURS = re.compile(r"(template|signal|score|density|encoder|fold\d+)\.onnx")  # of whichever fit


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
    vectors, report_path, *files = (out / name for name in (VECTORS, REPORT, *(f"{part.stem}.onnx" for part in found)))
    for folder in (out, *([cache] if cache else [])):
        check_folder(folder)
    for path in (vectors, report_path, *files):
        events.check_output(path, [fit_path, task_path])
    task = tasks.read(task_path)
    saved.check_task(fit, fit_path, task)

    checked: dict[str, Any] = {}
    with ExitStack() as stack:  # what is opened first gets its name last
        temporary = {path: stack.enter_context(events.atomic(path)) for path in (vectors, report_path, *files)}
        report = [
            _export(fit, task, part, temporary[path], path, fit_path.parent, checked, cache)
            for part, path in zip(found, files, strict=True)
        ]
        events.write_json(temporary[report_path], report)
        with open(temporary[vectors], "wb") as handle:
            np.savez(handle, **checked)
        vectors.unlink(missing_ok=True)
        for path in _of_before(report_path):
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
    task: Task,
    part: Part,
    temporary: Path,
    path: Path,
    beside: Path,
    vectors: dict[str, Any],
    cache: Path | None,
) -> dict[str, Any]:
    feeds = example(task, part, max(gates.BATCHES), beside)
    flop = part.flop_per_event(feeds)
    metadata = describe(fit, task, part, part.outputs(feeds), flop)
    model = part.graph(feeds, cache, provenance.code())
    exact, single = part.exact(feeds), part.predict(feeds)
    if not np.isfinite(exact).all():
        raise GateFailed(f"{path}: the fitted module itself gives values that are not finite; fit it again")
    gates.check_graph(model, path)
    atol = gates.tolerances(exact, single, part.resolution(feeds))
    _write(model, {**metadata, "parity": {}}, temporary)
    parity = gates.check_parity(Model(temporary), feeds, single, exact, atol, path, part.jumps)
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


def _write(model: onnx.ModelProto, metadata: dict[str, Any], path: Path) -> None:
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=json.dumps(value) if key in STRUCTURED else value)
    path.write_bytes(model.SerializeToString(deterministic=True))

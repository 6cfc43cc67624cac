"""Fit one cell of the grid: the method, the template drawn with torch, the classifier on it."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import methods as catalogue
from benchmarks import task as tasks
from infer import draws, events, provenance
from infer.columns import split
from infer.errors import BadInput
from train import methods, ports, saved
from train.classifier import Array, ClassifierSettings, train_classifier
from train.run import Run, open_device
from train.saved import Saved
from train.settings import settings_from
from train.tracking import Record, live


def fit_cell(
    method: str,
    task_path: Path,
    out: Path,
    settings: Mapping[str, Any],
    classifier: Mapping[str, Any],
    needs: Mapping[str, Path],
    folds: int = 0,
    device: str = "cpu",
    threads: int = 1,
    checkpoints: Path | None = None,
    checkpoint_seconds: float = 10.0,
    suite: str = "own",
    store: str | None = None,
) -> None:
    """Fit `method` on a task and leave model.pt, fit.json and the training template in `out`.

    After a kill the same call goes on from its checkpoints; on the CPU with the same number of threads the result is
    bitwise that of a call that was never killed.

    Args:
        method: a name in the catalogue.
        task_path: the task.
        out: the cell's folder.
        settings, classifier: changes to the method's and the classifier's defaults.
        needs: model.pt of the shared fits that the method stands on, by name.
        folds: folds of the cross-fit; none where 0.
        device: "cpu" or "cuda"; no fallback.
        threads: CPU threads, fixed because sums depend on their number.
        checkpoints: folder for unfinished work; `out`/checkpoints where None.
        checkpoint_seconds: least time between two checkpoints.
        suite: the experiment the cell belongs to.
        store: an MLflow store to log to while fitting; None keeps the journal for later.

    Raises:
        BadInput: unknown method or setting, a missing shared fit, no truth for a reference, no such device.
    """
    start, cpu_start = time.monotonic(), time.process_time()
    torch.set_num_threads(threads)
    entry, file = catalogue.get(method), methods.load(method)
    the_settings = methods.settings(method, settings, f"methods.{method}")
    the_classifier = settings_from(ClassifierSettings, classifier, "classifier")
    the_device = open_device(device)
    task = tasks.read(task_path)
    if entry.truth and not task.labelled:
        raise BadInput(
            f"method '{method}' is a reference that reads the truth, and {task_path} has none; remove it from the suite"
        )
    missing = set(entry.needs) - set(needs)
    if missing:
        raise BadInput(
            f"method '{method}' stands on the fit of {', '.join(missing)}; give --needs {missing.pop()}=MODEL.PT"
        )
    shared = {name: saved.load(needs[name], the_device) for name in entry.needs}

    folder = checkpoints or out / "checkpoints"
    cell = {
        "suite": suite,
        "method": method,
        **task.cell(),
        "settings": asdict(the_settings),
        "classifier": asdict(the_classifier),
        "needs": {name: asdict(fit.settings) for name, fit in shared.items()},
        "folds": folds,
    }
    record = Record(out, cell)
    # Unfinished work of other settings or other code is of no use.
    _forget_others(folder, f"{record.identity} {provenance.code()} {device} {threads}")
    label = " ".join(str(cell[key]) for key in ("method", "window", "injection", "seed"))
    run = Run(label, task.seed, the_device, folder, record, checkpoint_seconds)
    run.say(
        f"fitting on {device}"
        + (f" with {threads} threads" if device == "cpu" else f" ({torch.cuda.get_device_name()})")
    )
    record.tags({"device": device, "threads": threads, **provenance.record()})

    with live(out, store), run.showing():
        fitted = file.fit(task, the_settings, shared, run)
        for module in fitted.modules.values():
            module.eval().requires_grad_(False)
        needs_settings = {name: fit.settings for name, fit in shared.items()}
        said = {key: value for key, value in task.attributes.items() if key != "kind"}
        result = Saved(method, the_settings, needs_settings, task.features, fitted.modules, the_classifier, said)
        data = task.events("data")
        inside = np.flatnonzero(task.inside(data))
        contrast = fitted.contrast
        if "template" in fitted.modules:
            template = draw_template(
                fitted.modules["template"], task, method, the_settings, out / "template_torch.h5", the_device
            )
            if "score" not in fitted.modules:
                contrast = methods.Contrast(data.features[inside], template)
            # Row i, of the data as of the template, is left to the classifier of fold i modulo folds.
            for fold in range(folds):
                seen = inside % folds != fold, np.arange(len(template)) % folds != fold
                sides = data.features[inside[seen[0]]], template[seen[1]], None
                result.folds.append(train_classifier(f"fold{fold}", *sides, the_classifier, run))
        if contrast is not None:
            sides = contrast.positive, contrast.negative, contrast.weight
            result.classifier = train_classifier("classifier", *sides, the_classifier, run)
        result.fitted_range = _fitted_ranges(task, fitted, contrast)
        result.save(out / "model.pt")

        numbers = {
            "kind": "fit",
            "method": method,
            "seconds": time.monotonic() - start,
            "cpu_seconds": time.process_time() - cpu_start,
            "peak_memory_mib": run.peak_memory_mib(),
            "device": device,
            "threads": threads,
            "fits": run.fits,
            "outside_fitted_range": _outside(task, data.features[inside], result.fitted_range),
            **fitted.numbers,
            **provenance.record(),
        }
        events.write_json(out / "fit.json", numbers)
        logged = {"fit_seconds": numbers["seconds"], "fit_cpu_seconds": numbers["cpu_seconds"]}
        record.metrics({**logged, "peak_memory_mib": run.peak_memory_mib()})
    shutil.rmtree(folder, ignore_errors=True)


def draw_template(
    module: nn.Module, task: tasks.Task, method: str, settings: Any, out: Path, device: torch.device
) -> Array:
    """Draw the training template with torch, from the very draws that ONNX Runtime will be fed, and write it to `out`.

    Returns:
        Its features `[N, d]`, one event for each target mass.
    """
    drawn = draws.from_task(task.path, *ports.drawing(module, task.width, method, settings, task.seed))
    count = len(drawn.target_mass)
    parts, masses = [], []
    for index in range(-(-count // draws.BLOCK)):
        block = drawn.block(index)
        masses.append(block["condition"][:, 0])
        feeds = {name: torch.from_numpy(values).to(device) for name, values in block.items()}
        parts.append(ports.run(module, feeds).cpu().numpy())
    template = np.concatenate(parts)[:count]
    columns = {task.mass: np.concatenate(masses)[:count], **split(template, task.features)}
    with events.new_file(out) as file:
        file.attrs.update({"kind": "template", "seed": task.seed, "count": count})
        events.write(file, columns, task.units)
    return template


def _fitted_ranges(
    task: tasks.Task, fitted: methods.Fitted, contrast: methods.Contrast | None
) -> dict[str, dict[str, list[float]]]:
    ranges = {role: ports.fitted_ranges(module) for role, module in fitted.modules.items()}
    if contrast is not None:
        low = np.minimum(contrast.positive.min(0), contrast.negative.min(0)).tolist()
        high = np.maximum(contrast.positive.max(0), contrast.negative.max(0)).tolist()
        ranges["score"] = list(zip(low, high, strict=True))
    return {
        role: {name: list(edges) for name, edges in zip(task.features, found, strict=True)}
        for role, found in ranges.items()
        if found is not None
    }


def _outside(task: tasks.Task, features: Array, ranges: Mapping[str, Mapping[str, list[float]]]) -> dict[str, int]:
    """Signal-region data with a feature outside the fitted range, by role."""
    counts = {}
    for role, edges in ranges.items():
        low, high = np.array([edges[name] for name in task.features], dtype=np.float32).T
        counts[role] = int(((features < low) | (features > high)).any(1).sum())
    return counts


def _forget_others(folder: Path, tag: str) -> None:
    """Keep checkpoints only if they are of this very work."""
    mark = folder / "of"
    if not (mark.exists() and mark.read_text() == tag):
        shutil.rmtree(folder, ignore_errors=True)
        with events.writable(mark):
            mark.write_text(tag)

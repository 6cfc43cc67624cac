"""Fit one cell of the grid: the method, the template drawn with torch, the classifier on it."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.tracking.journal import JOURNAL, Record
from sideband.benchmarks.tracking.store import CURSOR, live
from sideband.infer import draws, events, provenance
from sideband.infer.columns import split
from sideband.infer.errors import BadInput, GateFailed
from sideband.train import methods, ports, saved
from sideband.train.classifiers.step import Array, ClassifierSettings, train_classifier
from sideband.train.run import Run, check_checkpoints, check_folder, enough_memory, open_device, remove_checkpoints
from sideband.train.saved import Saved
from sideband.train.settings import settings_from

MODEL, NUMBERS, TEMPLATE = "model.pt", "fit.json", "template_torch.h5"
OUTPUTS = (MODEL, NUMBERS, TEMPLATE, JOURNAL, CURSOR)


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
        BadInput: unknown method or setting, a shared fit that is missing or not of this task, no truth for a reference,
            too few events, no such device, or a place that cannot be written; nothing is left of the call then.
        GateFailed: a number of the fit is not finite; there is no model.pt of it.
    """
    start, cpu_start = time.monotonic(), time.process_time()
    torch.set_num_threads(threads)
    entry = catalogue.get(method)
    the_settings = methods.settings(method, settings, f"methods.{method}")
    the_classifier = settings_from(ClassifierSettings, classifier, "classifier")
    the_device = open_device(device)
    checkpoints = checkpoints or out / "checkpoints"
    _check_needs(method, entry.needs, needs)
    _check_places(out, checkpoints, [task_path, *needs.values()])
    task = tasks.read(task_path)
    _check_task(task, method)
    shared = {name: _opened(name, needs[name], task, the_device) for name in entry.needs}

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
    record.tags({"device": device, "threads": threads, **provenance.record()})
    label = " ".join(str(cell[key]) for key in ("method", "window", "injection", "seed"))
    # Unfinished work of other settings or other code is of no use.
    work = f"{record.identity} {provenance.code()} {device} {threads}"
    run = Run(label, task.seed, the_device, checkpoints, record, checkpoint_seconds, work)
    run.say(
        f"fitting on {device}"
        + (f" with {threads} threads" if device == "cpu" else f" ({torch.cuda.get_device_name()})")
    )

    with live(out, store), _undone(out, checkpoints, checkpoint_seconds), run.showing(), enough_memory():
        result, drawn, found = _fitted(method, task, the_settings, the_classifier, shared, folds, run)
        numbers = {
            "kind": "fit",
            "method": method,
            "seconds": time.monotonic() - start,
            "cpu_seconds": time.process_time() - cpu_start,
            "peak_memory_mib": run.peak_memory_mib(),
            "device": device,
            "threads": threads,
            "fits": run.fits,
            **found,
            **provenance.record(),
        }
        with events.atomic(out / MODEL) as model:  # the others get their names before it, or none of them does
            result.save(model)
            if drawn is not None:
                _write_template(out / TEMPLATE, drawn, task)
            events.write_json(out / NUMBERS, numbers)
        logged = {"fit_seconds": numbers["seconds"], "fit_cpu_seconds": numbers["cpu_seconds"]}
        record.metrics({**logged, "peak_memory_mib": run.peak_memory_mib()})
    remove_checkpoints(checkpoints)


def _check_needs(method: str, wanted: Sequence[str], needs: Mapping[str, Path]) -> None:
    missing, unused = (sorted(names) for names in (set(wanted) - set(needs), set(needs) - set(wanted)))
    if missing:
        raise BadInput(
            f"method '{method}' stands on the fit of {', '.join(missing)}; give --needs {missing[0]}=MODEL.PT"
        )
    if unused:
        there = f"it stands on {', '.join(wanted)}" if wanted else "it stands on no other fit"
        raise BadInput(f"--needs {unused[0]}={needs[unused[0]]}: method '{method}' makes no use of that; {there}")


def _check_places(out: Path, checkpoints: Path, inputs: Sequence[Path]) -> None:
    check_folder(out)
    for name in OUTPUTS:
        events.check_output(out / name, inputs)
    if checkpoints.resolve() == out.resolve():
        raise BadInput(f"{checkpoints}: is the folder of the results; give checkpoints one of their own")
    check_checkpoints(checkpoints)


@contextmanager
def _undone(out: Path, checkpoints: Path, seconds: float) -> Iterator[None]:
    """Leave nothing that was not there before where the block fails within so many seconds; later, work is kept."""
    start, made = time.monotonic(), [out / JOURNAL, out / CURSOR, checkpoints]
    missing = [place for place in (*made, *checkpoints.parents, out, *out.parents) if not os.path.lexists(place)]
    try:
        yield
    except (BadInput, GateFailed, MemoryError, OSError):
        if time.monotonic() - start < seconds:
            for place in missing:
                if place == checkpoints:
                    remove_checkpoints(place)
                elif place in made:
                    place.unlink(missing_ok=True)
                with suppress(OSError):  # never made, or in use
                    place.rmdir()
        raise


def _check_task(task: tasks.Task, method: str) -> None:
    """Refuse a task that a fit would fail on, be it after hours."""
    entry = catalogue.get(method)
    if entry.truth and not task.labelled:
        raise BadInput(
            f"method '{method}' is a reference that reads the truth, and {task.path} has none; remove it from the suite"
        )
    mass = events.read(task.path, [task.mass], "data")[task.mass]
    parts = {"events": len(mass)}
    if task.windowed:
        inside = int(events.in_window(mass, task.window).sum())
        parts = {"events in the window": inside, "events beside it": len(mass) - inside}
    if "template" in entry.roles:
        parts["targets"] = len(draws.from_task(task.path, {}, entry.source, task.seed).target_mass)
    for name, number in parts.items():
        if number < tasks.LEAST_EVENTS:
            raise BadInput(
                f"{task.path}: holds {number} {name}, and {tasks.LEAST_EVENTS} are needed; draw a larger task"
            )


def _opened(name: str, path: Path, task: tasks.Task, device: torch.device) -> Saved:
    """A shared fit, of this task or, where it serves every window, of this one but for the window."""
    fit = saved.load(path, device)
    if fit.method != name:
        raise BadInput(f"--needs {name}={path}: is a fit of '{fit.method}'; give one of '{name}'")
    saved.check_task(fit, path, task, catalogue.get(name).everywhere)
    return fit


def _fitted(
    method: str,
    task: tasks.Task,
    settings: Any,
    classifier: ClassifierSettings,
    shared: Mapping[str, Saved],
    folds: int,
    run: Run,
) -> tuple[Saved, Events | None, dict[str, Any]]:
    """The whole of a fit: what is saved, the training template of a method that makes one, and numbers to note."""
    fitted = methods.load(method).fit(task, settings, shared, run)
    _settle(fitted, method)
    drawn = None
    if "template" in fitted.modules:
        drawn = draw_template(fitted.modules["template"], task, method, settings, run.device)
    needed = {name: fit.settings for name, fit in shared.items()}
    result = Saved(method, settings, needed, task.features, fitted.modules, classifier, saved.said_of(task))
    inside = _classify(result, fitted.contrast, drawn, task, folds, run)
    return result, drawn, {"outside_fitted_range": _outside(task, inside, result.fitted_range), **fitted.numbers}


def _settle(fitted: methods.Fitted, method: str) -> None:
    """Make the modules of a fit ready to be used; raises `GateFailed` if one holds a number that is not finite."""
    for role, module in fitted.modules.items():
        module.eval().requires_grad_(False)
        wrong = saved.not_finite(module.state_dict())
        if wrong:
            raise GateFailed(f"{method}: '{wrong}' of its {role} is not finite; look for odd values in the features")


def draw_template(module: nn.Module, task: tasks.Task, method: str, settings: Any, device: torch.device) -> Events:
    """Draw the training template with torch, from the very draws that ONNX Runtime will be fed.

    Returns:
        One event for each target mass.

    Raises:
        GateFailed: a feature of one is not finite.
    """
    drawn = draws.from_task(task.path, *ports.drawing(module, task.width, method, settings, task.seed))
    count = len(drawn.target_mass)
    parts, masses = [], []
    for index in range(-(-count // draws.BLOCK)):
        block = drawn.block(index)
        masses.append(block["condition"][:, 0])
        feeds = {name: torch.from_numpy(values).to(device) for name, values in block.items()}
        parts.append(ports.run(module, feeds).cpu().numpy())
    features = np.concatenate(parts)[:count]
    bad = int((~np.isfinite(features)).any(1).sum())
    if bad:
        raise GateFailed(f"{method}: {bad} of {count} events of its template are not finite; lower the learning rate")
    return Events(np.concatenate(masses)[:count], features, None)


def _classify(
    result: Saved, contrast: methods.Contrast | None, drawn: Events | None, task: tasks.Task, folds: int, run: Run
) -> Array:
    """Train the classifiers of a fit, where it has any, and note what they saw; returns the data in the window."""
    settings, data = result.classifier_settings, task.events("data")
    rows = np.flatnonzero(task.inside(data))
    inside = data.features[rows]
    if drawn is not None:
        if "score" not in result.modules:
            contrast = methods.Contrast(inside, drawn.features)
        # Row i, of the data as of the template, is left to the classifier of fold i modulo folds.
        for fold in range(folds):
            seen = inside[rows % folds != fold], drawn.features[np.arange(len(drawn)) % folds != fold]
            result.folds.append(train_classifier(f"fold{fold}", *seen, None, settings, run))
    if contrast is not None:
        sides = contrast.positive, contrast.negative, contrast.weight
        result.classifier = train_classifier("classifier", *sides, settings, run)
    result.fitted_range = _fitted_ranges(task, result.modules, contrast)
    return inside


def _write_template(path: Path, drawn: Events, task: tasks.Task) -> None:
    columns = {task.mass: drawn.mass, **split(drawn.features, task.features)}
    with events.new_file(path) as file:
        file.attrs.update({"kind": "template", "seed": task.seed, "count": len(drawn)})
        events.write(file, columns, task.units)


def _fitted_ranges(
    task: tasks.Task, modules: Mapping[str, nn.Module], contrast: methods.Contrast | None
) -> dict[str, dict[str, list[float]]]:
    ranges = {role: ports.fitted_ranges(module) for role, module in modules.items()}
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

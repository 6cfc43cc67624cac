"""Fit one cell of the grid: the method, the template drawn with torch, the classifier on it."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sideband.benchmarks import catalogue, entries
from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.events.task import Task
from sideband.benchmarks.tracking.journal import JOURNAL, Record
from sideband.benchmarks.tracking.store import CURSOR, live
from sideband.infer import draws, events, provenance
from sideband.infer.errors import BadInput, GateFailed
from sideband.train import methods, ports, saved, template
from sideband.train.classifiers.settings import Array, ClassifierSettings
from sideband.train.classify import classify
from sideband.train.run import Run, check_checkpoints, check_folder, enough_memory, open_device, remove_checkpoints
from sideband.train.saved import Saved
from sideband.train.settings import settings_from
from sideband.train.template import Template

MODEL, NUMBERS = "model.pt", "fit.json"
OUTPUTS = (MODEL, NUMBERS, methods.TEMPLATE, methods.ROWS, JOURNAL, CURSOR)


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
    base: Path | None = None,
) -> None:
    """Fit `method` on a task and leave model.pt, fit.json and the training template in `out`.

    After a kill the same call resumes from its checkpoints. On the CPU, with the same number of threads, the result is
    bitwise that of a call that was never killed.

    Args:
        method: a name in the catalogue.
        task_path, out: the task, and the cell's folder.
        settings, classifier: changes to the method's and the classifier's defaults.
        needs: model.pt of the fits that the method stands on, by name.
        folds: folds of the cross-fit; none where 0.
        device: "cpu" or "cuda"; no fallback.
        threads: CPU threads, fixed because sums depend on their number.
        checkpoints, checkpoint_seconds: folder for unfinished work, and the least time between two saves.
        suite: the experiment the cell belongs to.
        store: an MLflow store to log to while fitting; None keeps the journal for later.
        base: model.pt of the same method, taken over for another classifier; then `needs` has none.

    Raises:
        BadInput: unknown method or setting, a shared fit that is missing or not of this task, no truth for a reference,
            too few events, no such device, or a place that cannot be written; such a call leaves nothing behind.
        GateFailed: a number of the fit is not finite; there is no model.pt of it.
    """
    start, cpu_start = time.monotonic(), time.process_time()
    torch.set_num_threads(threads)
    the_settings = methods.settings(method, settings, f"methods.{method}")
    the_classifier = settings_from(ClassifierSettings, classifier, "classifier")
    the_device, checkpoints = open_device(device), checkpoints or out / "checkpoints"
    wanted = () if base else entries.needs(method, vars(the_settings))
    _check_needs(method, wanted, needs)
    _check_places(out, checkpoints, [task_path, *needs.values(), *([base] if base else [])])
    task = tasks.read(task_path)
    taken = _opened(method.rpartition("@")[0], base, task, the_device) if base else None
    opened = {name: _opened(name, needs[name], task, the_device) for name in wanted}
    work = _Work(method, task, the_settings, the_classifier, opened, folds, out, taken)
    _check_task(task, method, the_settings, work.needs)
    run = work.run(suite, the_device, threads, checkpoints, checkpoint_seconds)
    with live(out, store), _undone(out, checkpoints, checkpoint_seconds), run.showing(), enough_memory():
        result, drawn, found = work.fitted(run)
        cost = _cost(run, start, cpu_start)
        numbers = {"method": method, "device": device, "threads": threads, "fits": run.fits, **cost, **found}
        _write(out, result, drawn, numbers, task)
        run.record.metrics({key if key == "peak_memory_mib" else f"fit_{key}": value for key, value in cost.items()})
    remove_checkpoints(checkpoints)


def _cost(run: Run, start: float, cpu_start: float) -> dict[str, float]:
    spent = {"seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu_start}
    return {**spent, "peak_memory_mib": run.peak_memory_mib()}


def _write(out: Path, result: Saved, drawn: Template | None, numbers: Mapping[str, Any], task: Task) -> None:
    with events.atomic(out / MODEL) as model:  # the others get their names before it, or none of them does
        result.save(model)
        if drawn is not None:
            template.write(out / methods.TEMPLATE, drawn, task)
        events.write_json(out / NUMBERS, {"kind": "fit", **numbers, **provenance.record()})


@dataclass(frozen=True)
class _Work:
    """What a fit depends on, and where it leaves its rows."""

    method: str
    task: Task
    settings: Any
    classifier: ClassifierSettings
    opened: Mapping[str, Saved]
    folds: int
    out: Path
    base: Saved | None

    @property
    def needs(self) -> dict[str, Any]:
        """What is to be known of the fits that the method stands on, to open it again."""
        if self.base is not None:
            return dict(self.base.needs)
        return {name: fit.as_need for name, fit in self.opened.items()}

    def identity(self) -> dict[str, Any]:
        """What tells the cell from others."""
        return {
            "method": self.method,
            **self.task.cell(),
            "settings": asdict(self.settings),
            "classifier": asdict(self.classifier),
            "needs": {name: asdict(need) for name, need in self.needs.items()},
            "folds": self.folds,
        }

    def run(self, suite: str, device: torch.device, threads: int, checkpoints: Path, seconds: float) -> Run:
        """The surroundings of the fit, with its first line of progress."""
        cell = {"suite": suite, **self.identity()}
        record = Record(self.out, cell)
        record.tags({"device": device.type, "threads": threads, **provenance.record()})
        label = " ".join(str(cell[key]) for key in ("method", "window", "injection", "seed"))
        # Unfinished work of other settings or other code is of no use.
        mark = f"{record.identity} {provenance.code()} {device.type} {threads}"
        run = Run(label, self.task.seed, device, checkpoints, record, seconds, mark)
        on_cpu = f"cpu with {threads} thread{'s' * (threads != 1)}"
        where = on_cpu if device.type == "cpu" else f"cuda ({torch.cuda.get_device_name()})"
        run.say(f"fitting on {where}")
        return run

    def fitted(self, run: Run) -> tuple[Saved, Template | None, dict[str, Any]]:
        """Run the whole fit; returns what is saved, the training template if there is one, and numbers to record."""
        fitted = self._fit(run)
        _settle(fitted, self.method)
        if fitted.rows:
            template.write_rows(self.out / methods.ROWS, fitted.rows, self.task)
        drawn = self._draw(fitted, run)
        result = Saved(
            self.method,
            self.settings,
            self.needs,
            self.task.features,
            fitted.modules,
            self.classifier,
            saved.attributes_of(self.task),
        )
        ranges, inside = classify(result, fitted, drawn, self.task, self.folds, run)
        result.fitted_range = ranges
        return result, drawn, {"outside_fitted_range": _outside(self.task, inside, ranges), **fitted.numbers}

    def _fit(self, run: Run) -> methods.Fitted:
        """Fit the method, or take over what an earlier fit of it has left; samples to classify are none of that."""
        if self.base is None or not self.base.modules:
            found: methods.Fitted = methods.load(self.method).fit(self.task, self.settings, self.opened, run)
            return found
        rows = template.read_rows(self.base.folder / methods.ROWS, self.task)
        return methods.Fitted(self.base.modules, rows=rows)

    def _draw(self, fitted: methods.Fitted, run: Run) -> Template | None:
        """The training template; None of a method that makes none."""
        if "template" not in fitted.modules:
            return None
        if self.base is not None:
            return template.read(self.base.folder / methods.TEMPLATE, self.task)
        return template.draw(fitted.modules["template"], self.task, self.method, run.device, self.out)


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
    start, made = time.monotonic(), [out / JOURNAL, out / CURSOR, out / methods.ROWS, checkpoints]
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


def _check_task(task: Task, method: str, settings: Any, needs: Mapping[str, Any]) -> None:
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
        with torch.device("meta"):
            untrained = methods.load(method).build(settings, task.width, needs)["template"]
        given = {
            name: port for name, port in ports.inputs(untrained, task).items() if not getattr(port.drawn, "file", "")
        }
        parts["template events"] = draws.from_task(task.path, given, task.seed).count
    for name, number in parts.items():
        if number < tasks.LEAST_EVENTS:
            raise BadInput(
                f"{task.path}: holds {number} {name}, and {tasks.LEAST_EVENTS} are needed; draw a larger task"
            )


def _opened(name: str, path: Path, task: Task, device: torch.device) -> Saved:
    """A shared fit, of this task or, where it serves every window, of this one but for the window."""
    fit = saved.load(path, device)
    if fit.method != name:
        raise BadInput(f"--needs {name}={path}: is a fit of '{fit.method}'; give one of '{name}'")
    saved.check_task(fit, path, task, catalogue.get(name).everywhere)
    return fit


def _settle(fitted: methods.Fitted, method: str) -> None:
    """Make the modules of a fit ready to be used; raises `GateFailed` if one holds a number that is not finite."""
    for role, module in fitted.modules.items():
        module.eval().requires_grad_(False)
        wrong = saved.not_finite(module.state_dict())
        if wrong:
            raise GateFailed(f"{method}: '{wrong}' of its {role} is not finite; look for odd values in the features")


def _outside(task: Task, features: Array, ranges: Mapping[str, Mapping[str, list[float]]]) -> dict[str, int]:
    """Signal-region data with a feature outside the fitted range, by role."""
    counts = {}
    for role, edges in ranges.items():
        found = np.array([edges[name] for name in task.features], dtype=np.float32)
        low, high = np.repeat(found, list(task.features.values()), axis=0).T
        counts[role] = int(((features < low) | (features > high)).any(1).sum())
    return counts

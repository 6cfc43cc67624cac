"""Torch against ONNX Runtime in one process: the same weights, the same events, the same number of threads.

Parity comes first. Torch runs eager, and compiled where asked for and a C++ compiler is there.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sideband.benchmarks.events import task as tasks
from sideband.export.describe import describe, example
from sideband.export.part import Part, parts
from sideband.infer import provenance
from sideband.infer.errors import BadInput, GateFailed
from sideband.infer.model import Model, deviation
from sideband.infer.throughput import Call, time_calls
from sideband.train import ports, saved
from sideband.train.run import open_device
from sideband.train.saved import Saved

Record = dict[str, Any]

# What tells a graph from those of other fits.
IDENTITY = ("role", "method", "settings", "window", "mass_range", "injection", "seed", "dataset_sha256", "fitted_range")
NO_COMPILER = "torch.compile needs a C++ compiler (g++) on the CPU, and there is none"


def compare(
    fit_path: Path,
    model_path: Path,
    task_path: Path,
    batches: Sequence[int],
    repeats: int,
    seconds: float,
    provider: str = "cpu",
    compiled: bool = False,
) -> Iterator[Record]:
    """Time torch eager, torch.compile and ONNX Runtime on one graph; yields a flat record each, by batch size.

    Args:
        fit_path, model_path: model.pt and the file exported from it.
        task_path: the task, for realistic inputs.
        batches: events in one call.
        repeats, seconds: most repeats of each row, and the time of all of them.
        provider: "cpu" or "cuda", of both engines.
        compiled: whether to time torch.compile too.

    Raises:
        BadInput: not a graph of a torch module or of this fit, another task, or no such device.
        GateFailed: the two do not agree.
    """
    device = open_device(provider)
    fit, task = saved.load(fit_path, device), tasks.read(task_path)
    saved.check_task(fit, fit_path, task)
    part, module = _exported(fit, fit_path, model_path)
    feeds = example(task, part, max(batches), fit_path.parent)
    _check_identity(Model(model_path, provider), describe(fit, task, part, part.outputs(feeds), None), fit_path)
    module.to(device)
    tensors = {name: torch.from_numpy(values).to(device) for name, values in feeds.items()}
    fast = torch.compile(module, dynamic=False) if compiled and _has_compiler(device) else None

    for threads in sorted({1, provenance.cores()}):
        torch.set_num_threads(threads)
        model = Model(model_path, provider, threads)
        for batch in batches:
            arrays = {name: np.ascontiguousarray(values[:batch]) for name, values in feeds.items()}
            rows = {name: values[:batch].contiguous() for name, values in tensors.items()}
            worst = _deviation(model, module, arrays, rows)
            engines: dict[str, Call | None] = {
                "onnxruntime": partial(model.run, arrays),
                "torch eager": partial(_synchronised, module, rows, device),
            }
            if compiled:
                engines["torch.compile"] = partial(_synchronised, fast, rows, device) if fast is not None else None
            row: Record = {"kind": "compare", "model_sha256": model.sha256, "role": model.role, "method": fit.method}
            row |= {"provider": provider, "batch": batch, "threads": threads, "parity": worst}
            for engine, call in engines.items():
                timing = time_calls([call], batch, repeats, seconds) if call else {"missing": NO_COMPILER}
                yield {**row, "engine": engine, **timing, **provenance.record()}


def _exported(fit: Saved, fit_path: Path, model_path: Path) -> tuple[Part, torch.nn.Module]:
    """The part of a fit that a file comes from, and its module."""
    exported = {part.stem: part for part in parts(fit)}
    if model_path.stem not in exported:
        raise BadInput(f"{model_path}: {fit_path} exports no such file, but {', '.join(exported) or 'none at all'}")
    part = exported[model_path.stem]
    if part.module is None or part.trees is not None:
        raise BadInput(f"{model_path}: comes from trees, not from a torch module; there is nothing to compare")
    return part, part.module


def _deviation(
    model: Model, module: torch.nn.Module, arrays: Mapping[str, NDArray[np.float32]], rows: dict[str, torch.Tensor]
) -> float:
    """The largest difference of the graph from its module, in tolerances; raises `GateFailed` above 1."""
    parity = model.metadata["parity"]
    found = np.column_stack([*model.run(arrays).values()])
    expected = np.column_stack([output.cpu().numpy() for output in ports.run(module, rows)])
    worst = deviation(found, expected, np.asarray(parity["atol"]), parity["rtol"])
    if worst > 1:
        raise GateFailed(f"{model.path}: differs from torch by {worst:.3g} times the tolerance at batch {len(found)}")
    return worst


def _check_identity(model: Model, expected: Mapping[str, Any], fit_path: Path) -> None:
    """Refuse the graph of another fit, which may even agree within the tolerances."""
    other = [key for key in IDENTITY if json.dumps(model.metadata.get(key)) != json.dumps(expected[key])]
    if other:
        raise BadInput(
            f"{model.path}: is not the graph of {fit_path} (another {', '.join(other)}); give the file exported from it"
        )


def _synchronised(module: Any, rows: dict[str, torch.Tensor], device: torch.device) -> None:
    ports.run(module, rows)
    if device.type == "cuda":
        torch.cuda.synchronize()


def _has_compiler(device: torch.device) -> bool:
    return device.type == "cuda" or shutil.which("g++") is not None

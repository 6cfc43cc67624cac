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

from sideband.benchmarks.events import task as tasks
from sideband.export.cell import IDENTITY, describe, example, parts
from sideband.infer import provenance
from sideband.infer.errors import BadInput, GateFailed
from sideband.infer.model import Model, deviation
from sideband.infer.throughput import Call, time_calls
from sideband.train import ports, saved
from sideband.train.run import open_device

Record = dict[str, Any]

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
        repeats: timed repeats of each row.
        seconds: least total time of a row.
        provider: "cpu" or "cuda", of both engines.
        compiled: whether to time torch.compile too.

    Raises:
        BadInput: not a graph of a torch module, or of another fit; another task; or no such device.
        GateFailed: the two do not agree.
    """
    device = open_device(provider)
    fit, task = saved.load(fit_path, device), tasks.read(task_path)
    saved.check_task(fit, fit_path, task)
    exported = {part.stem: part for part in parts(fit)}
    if model_path.stem not in exported:
        raise BadInput(f"{model_path}: {fit_path} exports no such file, but {', '.join(exported) or 'none at all'}")
    part = exported[model_path.stem]
    if not isinstance(part.source, torch.nn.Module):
        raise BadInput(f"{model_path}: comes from trees, not from a torch module; there is nothing to compare")
    module = part.source.to(device)
    feeds = example(fit, task, part, max(batches))
    _check_identity(Model(model_path, provider), describe(fit, task, part, feeds, None), fit_path)
    tensors = {name: torch.from_numpy(values).to(device) for name, values in feeds.items()}
    fast = torch.compile(module, dynamic=False) if compiled and _has_compiler(device) else None

    for threads in sorted({1, provenance.cores()}):
        torch.set_num_threads(threads)
        model = Model(model_path, provider, threads)
        parity = model.metadata["parity"]
        for batch in batches:
            arrays = {name: np.ascontiguousarray(values[:batch]) for name, values in feeds.items()}
            rows = {name: values[:batch].contiguous() for name, values in tensors.items()}
            (found,) = model.run(arrays).values()
            expected = ports.run(module, rows).cpu().numpy()
            worst = deviation(found, expected, np.asarray(parity["atol"]), parity["rtol"])
            if worst > 1:
                raise GateFailed(
                    f"{model_path}: differs from torch by {worst:.3g} times the tolerance at batch {batch}"
                )
            engines: dict[str, Call | None] = {
                "onnxruntime": partial(model.run, arrays),
                "torch eager": partial(_synchronised, module, rows, device),
            }
            if compiled:
                engines["torch.compile"] = partial(_synchronised, fast, rows, device) if fast is not None else None
            for engine, call in engines.items():
                timing = time_calls([call], batch, repeats, seconds) if call else {"missing": NO_COMPILER}
                yield {
                    "kind": "compare",
                    "engine": engine,
                    "model_sha256": model.sha256,
                    "role": model.role,
                    "method": fit.method,
                    "provider": provider,
                    "batch": batch,
                    "threads": threads,
                    "parity": worst,
                    **timing,
                    **provenance.record(),
                }


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

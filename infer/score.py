"""Anomaly scores of events in a file, from one exported graph, or from one graph a fold; latents from an encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import draws, events, purpose
from .called import called
from .columns import ROW, flattened, joined
from .errors import BadInput
from .metadata import MAKERS
from .model import Model
from .provenance import cores

CHUNK = 5 * draws.BLOCK

Progress = Callable[[int, int], None]


def score(
    models: Sequence[Model],
    path: str | Path,
    out: str | Path,
    group: str = "/",
    threads: int | None = None,
    progress: Progress = lambda finished, total: None,
) -> int:
    """Write the `score` of every event in `path` to `out`, row by row; larger is more signal-like.

    An encoder has no score, so its `latent` is written. With several models, event i is scored by model i modulo
    their number: the folds of a cross-fit, where each event is scored by the model that did not see it. Features beyond
    the range the model was fitted in are clamped there by the graph, and the column `clamped` is 1. The column
    `event_row` is kept where the events have one.

    Args:
        models: graphs with role "score", "density" or "encoder" and the same inputs.
        path: an events file or a task.h5.
        out: the file to write.
        group: the group of `path` that holds the columns, "data" or "test" in a task.
        threads: concurrent callers of the session; all cores by default on the CPU, one on CUDA.
        progress: called with the number of events just finished and the number of all events.

    Returns:
        The number of events scored now (not those found from before a kill).

    Raises:
        BadInput: a graph without scores, a missing column, an empty group, or an unwritable `out`.
    """
    first = models[0]
    for model in models:
        _check(model, first, path, group)
    events.check_output(out, [path, *(model.path for model in models)])
    names = [column for port in first.inputs.values() for column in port.columns]
    with events.opened(path, group) as node:
        known = [ROW] if ROW in node else []
        total = events.count(node, [*names, *known], path)
    if not total:
        raise BadInput(f"{path}: no events in '{group}'")
    threads = threads or (1 if first.provider == "cuda" else cores())
    ((output, width),) = ((port.columns[0], port.width) for port in first.outputs.values())
    identity = _identity(models, path, group) | {"count": total}
    fitted: dict[str, list[float]] = first.metadata["fitted_range"]

    def make(start: int, size: int) -> events.Columns:
        rows = events.read(path, names, group, slice(start, start + size))
        result = _scored(models, rows, start, size)
        outside = np.zeros(size, dtype=bool)
        for name, (lowest, highest) in fitted.items():
            numbers = flattened(rows[name])
            outside |= ((numbers < lowest) | (numbers > highest)).any(axis=1)
        kept = events.whole(path, known, group, slice(start, start + size))
        return {output: result, "clamped": outside.astype(np.float32), **kept}

    columns = [output, "clamped", *known]
    with events.Stream(out, columns, total, CHUNK, identity, {}, {output: width}, known) as stream:
        return stream.fill(make, threads, progress)


def _identity(models: Sequence[Model], path: str | Path, group: str) -> dict[str, Any]:
    """What scores are made from."""
    return {
        "kind": "scores",
        "model_sha256": ",".join(model.sha256 for model in models),
        "events_sha256": events.sha256(path),
        "group": group,
        "provider": models[0].provider,
    }


def _check(model: Model, first: Model, path: str | Path, group: str) -> None:
    """Refuse a graph that gives no score, or that does not go with the first one or with the events."""
    if model.role in MAKERS:
        raise BadInput(f"{model.path}: is a {model.role} graph, it has no score; use `{called('infer', 'template')}`")
    if model.inputs != first.inputs:
        raise BadInput(f"{model.path}: takes other inputs than {first.path}; give the folds of one model")
    purpose.check(model, path, group)


def _scored(models: Sequence[Model], rows: events.Columns, start: int, size: int) -> NDArray[np.float32]:
    """Scores `[size]`, or latents `[size, k]`, of events, the first of which is event `start` of its file."""
    (width,) = (port.width for port in models[0].outputs.values())
    result = np.empty((size, width), dtype=np.float32)
    for low in range(0, size, draws.BLOCK):
        block = slice(low, min(low + draws.BLOCK, size))
        feeds = {
            name: joined({column: rows[column][block] for column in port.columns}, port.columns)
            for name, port in models[0].inputs.items()
        }
        found = np.stack([next(iter(model.finite(feeds).values())) for model in models])
        fold = np.arange(start + block.start, start + block.stop) % len(models)
        result[block] = found[fold, np.arange(found.shape[1])]
    return result[:, 0] if width == 1 else result

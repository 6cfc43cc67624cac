"""Mass-produce events of the signal region from one exported graph: background from a template, or a found signal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import draws, events, purpose
from .called import called
from .columns import SOURCE_ROW
from .errors import BadInput, GateFailed
from .inputs import Rows
from .metadata import MAKERS
from .model import Model, deviation
from .provenance import cores

CHUNK_BLOCKS = 5  # blocks a thread makes before it writes, at least: 5,000 events

Progress = Callable[[int, int], None]


def generate(
    model: Model,
    task: str | Path,
    out: str | Path,
    count: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    batch_blocks: int = 1,
    progress: Progress = lambda finished, total: None,
    expected: str | Path | None = None,
    first: int = 0,
) -> int:
    """Write `count` template events to `out` as HDF5 columns (the mass first, then the features).

    The file is the same whatever the number of threads, and after a kill the same call goes on where it was; an event
    depends neither on `count` nor on `first`. Memory does not grow with `count`. Where each event begins as one of
    others, and their places in their files are known, the column `source_row` holds that place.

    Args:
        model: a graph with role "template" or "signal"; a signal makes its own masses.
        task: the task.h5 that gives target masses and sources.
        out: the file to write.
        count: events; by default as many as the task's target masses, or as the events that the graph takes in turn.
        seed: the draw seed; by default the one the graph was trained with, which reproduces the training template.
        threads: concurrent callers of the session; all cores by default on the CPU, one on CUDA.
        batch_blocks: blocks of 1,000 events in one call. One is fastest on CPUs; GPUs want more.
        progress: called with the number of events just finished and the number of all events.
        expected: a template that `compare` will hold this one to; it must hold as many events.
        first: the event to begin with, for a part of a template; `gather.gather` joins parts. Whole calls are made, so
            that parts which begin at a multiple of `1000 * batch_blocks` cost least.

    Returns:
        The number of events made now (not those found from before a kill).

    Raises:
        BadInput: not such a graph, a task that does not fit it, or an unwritable `out`.
    """
    if model.role not in MAKERS:
        raise BadInput(f"{model.path}: is a '{model.role}' graph, not a template; use `{called('infer', 'score')}`")
    _check_part(first, count, expected)
    events.check_output(out, [model.path, task, *_rows(model), *([expected] if expected else [])])
    seed = int(model.metadata["seed"]) if seed is None else seed
    source = drawn(model, task, seed)
    count = source.count if count is None else count
    if count < 1:
        raise BadInput(f"--count {count}: a template needs at least one event")
    if expected is not None:
        _read_expected(model, expected, count)
    threads = threads or (1 if model.provider == "cuda" else cores())
    batch = batch_blocks * draws.BLOCK
    chunk = batch * -(-CHUNK_BLOCKS // batch_blocks)
    columns = list(dict.fromkeys([_mass(model), *(name for port in model.outputs.values() for name in port.columns)]))
    whole = [SOURCE_ROW] if source.origin is not None else []
    identity = _identity(model, task) | {"seed": seed, "batch": batch, "first": first, "count": count}
    layout = model.units(), model.widths(), whole
    with events.Stream(out, [*columns, *whole], count, chunk, identity, *layout) as stream:
        return stream.fill(lambda start, size: _made(model, source, batch, first + start, size), threads, progress)


def _check_part(first: int, count: int | None, expected: str | Path | None) -> None:
    """Refuse what is not said of a part."""
    if first and count is None:
        raise BadInput(f"--first {first}: say how many events with --count")
    if first and expected is not None:
        raise BadInput(f"--first {first}: --expect holds a template from event 0 on alone; leave one of them out")


def _mass(model: Model) -> str:
    """The column of the events' masses."""
    return (model.outputs["mass"] if model.role == "signal" else model.inputs["condition"]).columns[0]


def _made(model: Model, source: draws.Draws, batch: int, start: int, size: int) -> events.Columns:
    """Events `start … start + size - 1` of a template.

    Whole batches are made, at multiples of their size: an event never depends on which others are asked for.
    """
    parts: list[events.Columns] = []
    before = start % batch
    for event in range(start - before, start + size, batch):
        blocks = event // draws.BLOCK, batch // draws.BLOCK
        feeds, origins = source.blocks(*blocks), source.origins(*blocks)
        row: dict[str, NDArray[Any]] = {} if origins is None else {SOURCE_ROW: origins}
        target = {_mass(model): feeds["condition"][:, 0]} if "condition" in feeds else {}
        parts.append(model.columns(model.finite(feeds)) | target | row)
    return {name: np.concatenate([part[name] for part in parts])[before:][:size] for name in parts[0]}


def _identity(model: Model, task: str | Path) -> dict[str, Any]:
    """What a template was made from."""
    window = purpose.window_of(task)
    return {
        "kind": model.role,
        "model_sha256": model.sha256,
        "task_sha256": events.sha256(task),
        "provider": model.provider,
        "source": _source(model),
        **({"window": window} if window else {}),
    }


def drawn(model: Model, task: str | Path, seed: int) -> draws.Draws:
    """The inputs of a template's graph on a task; raises `BadInput` as `draws.from_task` and `purpose.check` do."""
    purpose.check(model, task, "/")
    return draws.from_task(task, model.inputs, seed, model.path.parent)


def _rows(model: Model) -> set[Path]:
    """The files beside the graph that it takes rows from."""
    drawn = [port.drawn for port in model.inputs.values()]
    return {model.path.with_name(each.file) for each in drawn if isinstance(each, Rows) and each.file}


def _source(model: Model) -> str:
    """What events a template grows from, as its file says: "signal region", say; "" for noise alone."""
    rows = [port.drawn for name, port in model.inputs.items() if isinstance(port.drawn, Rows) and name == "source"]
    return next((each.group if each.region == "all" else each.region for each in rows), "")


def compare(model: Model, expected: str | Path, made: str | Path) -> float:
    """Hold a template against the one drawn with torch at training: the same events, one by one.

    Returns:
        The largest difference in units of the graph's stored tolerance; at most 1.

    Raises:
        BadInput: the two do not hold the same events, or the graph names no tolerance.
        GateFailed: they differ by more; `made` is removed.
    """
    columns = [column for port in model.outputs.values() for column in port.columns]
    ours = events.read(made, columns)
    theirs = _read_expected(model, expected, len(ours[columns[0]]))
    parity = model.metadata["parity"]
    atol = model.columns(model.by_output(np.array([parity["atol"]])))
    worst = {name: deviation(ours[name], theirs[name], atol[name], parity["rtol"]) for name in columns}
    name = max(worst, key=worst.__getitem__)
    if worst[name] > 1:
        Path(made).unlink()
        raise GateFailed(
            f"{made}: {name} differs from the torch template by {worst[name]:.3g} times the tolerance; removed"
        )
    return worst[name]


def _read_expected(model: Model, path: str | Path, count: int) -> events.Columns:
    """The columns of a template to hold another one to, of `count` events."""
    if not model.metadata["parity"]:
        raise BadInput(f"{model.path}: names no tolerance to hold a template to; export it again")
    found = events.read(path, [column for port in model.outputs.values() for column in port.columns])
    number = len(next(iter(found.values())))
    if number != count:
        raise BadInput(f"{path}: holds {number} events, and {count} are to be made; make as many")
    return found

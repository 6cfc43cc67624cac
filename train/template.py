"""The training template: drawn with torch, from the very numbers that ONNX Runtime will be fed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.events.task import Task
from sideband.infer import draws, events
from sideband.infer.columns import ROW, SOURCE_ROW, split
from sideband.infer.errors import GateFailed
from sideband.train import ports


@dataclass(frozen=True)
class Template:
    """Template events and, where a method reweights, their weights `[N]`; their `rows` are those of their sources."""

    events: Events
    weight: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.events)


def draw(module: nn.Module, task: Task, name: str, device: torch.device, beside: Path) -> Template:
    """Draw the training template of a module.

    Args:
        module: a template.
        task: the task.
        name: the method, for messages.
        device: where the module is.
        beside: the folder that holds its rows, if it has any of its own.

    Returns:
        One event for each target mass, or for each event that the template takes in turn.

    Raises:
        GateFailed: a feature or a weight is not finite, or a weight is negative.
    """
    return run(module, draws.from_task(task.path, ports.inputs(module, task), task.seed, beside), name, device)


def run(module: nn.Module, drawn: draws.Draws, name: str, device: torch.device) -> Template:
    """Run a template on drawn inputs, once for each of them; arguments and errors as for `draw`."""
    module.to(device)  # a method may have made some of it beside a fit that is there already
    count = drawn.count
    masses, outputs = [], []
    for index in range(-(-count // draws.BLOCK)):
        block = drawn.block(index)
        masses.append(block["condition"][:, 0])
        feeds = {name: torch.from_numpy(values).to(device) for name, values in block.items()}
        outputs.append([found.cpu().numpy() for found in ports.run(module, feeds)])
    features, *weights = (np.concatenate(parts)[:count] for parts in zip(*outputs, strict=True))
    bad = int((~np.isfinite(np.column_stack([features, *weights]))).any(1).sum())
    if bad:
        raise GateFailed(f"{name}: {bad} of {count} events of its template are not finite; lower the learning rate")
    weight = weights[0][:, 0] if weights else None
    if weight is not None and (weight.min() < 0 or not weight.any()):
        raise GateFailed(f"{name}: the weights of its template are negative or all zero; lower the learning rate")
    origins = drawn.origins(0, len(masses))
    rows = None if origins is None else origins[:count]
    return Template(Events(np.concatenate(masses)[:count], features, None, rows), weight)


def write(path: Path, drawn: Template, task: Task) -> None:
    """Write a template as event columns: the mass, the features and, where there are some, weights and source rows."""
    columns: dict[str, Any] = {task.mass: drawn.events.mass, **split(drawn.events.features, task.features)}
    units = dict(task.units)
    if drawn.weight is not None:
        columns["weight"], units["weight"] = drawn.weight, ""
    if drawn.events.rows is not None:
        columns[SOURCE_ROW], units[SOURCE_ROW] = drawn.events.rows, ""
    with events.new_file(path) as file:
        file.attrs.update({"kind": "template", "seed": task.seed, "count": len(drawn)})
        events.write(file, columns, units)


def read(path: Path, task: Task) -> Template:
    """Read back what `write` wrote."""
    with events.opened(path) as file:
        weighted = ["weight"] if "weight" in file else []
    columns = events.read(path, [*task.columns, *weighted])
    rows = events.rows_of(path, "/", SOURCE_ROW)
    return Template(task.table(columns, rows), columns["weight"] if weighted else None)


def read_rows(path: Path, task: Task) -> dict[str, Events]:
    """Read back what `write_rows` wrote; nothing where there is no such file."""
    if not path.is_file():
        return {}
    with events.opened(path) as file:
        groups = list(file)
    return {group: task.table(events.read(path, task.columns, group), events.rows_of(path, group)) for group in groups}


def write_rows(path: Path, rows: dict[str, Events], task: Task) -> None:
    """Write the rows that a template takes from a file of its own, a group each."""
    with events.new_file(path) as file:
        file.attrs.update({"kind": "rows", "mass": task.mass, "features": list(task.features), "seed": task.seed})
        for group, table in rows.items():
            columns: dict[str, Any] = {task.mass: table.mass, **split(table.features, task.features)}
            if table.rows is not None:
                columns[ROW] = table.rows.astype(np.uint32)
            events.write(file.create_group(group), columns, task.units)

"""A method's own template beside the window, where the data are background and can tell how good it is.

Noise, sources and simulation are drawn as ever, and the target masses are those of sideband events. What a template
takes from the signal region it takes from the sidebands here. Anchors lie around a window of the same width that is
moved into a sideband. A template of rows that a fit has left is fitted again, in such windows. In the task of a
validation window, the signal region is left out of the data, so it is no part of a sideband.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks import catalogue
from sideband.benchmarks.events.tables import Events, join
from sideband.benchmarks.events.task import Range, Task
from sideband.infer import draws
from sideband.infer.draws import Draws, Feeds, generator
from sideband.infer.errors import BadInput
from sideband.infer.inputs import Constant, Rows
from sideband.train import methods, ports, template
from sideband.train.run import Run
from sideband.train.template import Template

AWAY = 0.5  # from the window to one that is moved into a sideband, in widths of the window


@dataclass(frozen=True)
class Moved(Task):
    """A task whose window lies in a sideband of the true one, whose events are left out of its data.

    Args:
        left_out: the true window.
    """

    left_out: Range = (0.0, 0.0)

    def events(self, group: str) -> Events:
        """The events of a group, less those of the true window."""
        found = super().events(group)
        low, high = self.left_out
        return found[(found.mass <= np.float32(low)) | (found.mass >= np.float32(high))]


@dataclass(frozen=True)
class Around(Draws):
    """Draws whose anchors lie around a window of its own for each target mass, `windows` `[M, 2]`."""

    windows: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))

    def block(self, index: int) -> Feeds:
        """Inputs of one block, as `Draws.block`."""
        feeds = super().block(index)
        at = self.windows[np.arange(index * draws.BLOCK, (index + 1) * draws.BLOCK) % len(self.windows)]
        for name, port in self.inputs.items():
            if isinstance(port.drawn, Constant):
                beyond = port.drawn.margin * (at[:, 1] - at[:, 0])
                place = at[:, 0] - beyond if port.drawn.edge == "low" else at[:, 1] + beyond
                feeds[name] = place[:, None].astype(np.float32)
        return feeds


def samples(fit: Any, task: Task, oversampling: int, run: Run) -> tuple[Events, Template]:
    """Sideband data, and the template of a fitted method at their masses.

    Args:
        fit: the method's fit, opened.
        task: the task.
        oversampling: template events for each event of the data.
        run: device.

    Raises:
        BadInput: the method cannot be drawn beside the window, or no sideband has room for it.
    """
    if catalogue.get(fit.method).rows:
        return _fitted_again(fit, task, run)
    module = fit.modules["template"]
    inputs = {name: replace(port, drawn=_beside(port.drawn)) for name, port in ports.inputs(module, task).items()}
    margin = max((port.drawn.margin for port in inputs.values() if isinstance(port.drawn, Constant)), default=None)
    data = task.events("data")
    data = data[~task.inside(data) if margin is None else _with_room(data.mass, task, margin)]
    if len(data) < 2:
        raise BadInput(f"refined: no sideband has room for the anchors of '{fit.method}'; choose a smaller margin")
    order = generator(task.seed, "beside", 0)
    masses = np.repeat(data.mass, oversampling)[order.permutation(len(data) * oversampling)]
    drawn = draws.from_task(task.path, inputs, task.seed, fit.folder)
    windows = _windows(masses, task, margin or 0.0, order.random(len(masses)))
    around = Around(inputs, masses, drawn.tables, drawn.constants, task.seed, windows=windows)
    return data, template.run(module, around, fit.method, run.device)


def _beside(drawn: Any) -> Any:
    """How an input is drawn beside the window."""
    if isinstance(drawn, Rows) and drawn.region == "signal region":
        return replace(drawn, region="sidebands")
    return drawn


def _with_room(mass: NDArray[np.float32], task: Task, margin: float) -> NDArray[np.bool_]:
    """Which masses lie in a moved window, whose anchors too lie in that sideband."""
    found = np.zeros(len(mass), dtype=bool)
    for low, high in _sidebands(task):
        beyond = margin * (task.window[1] - task.window[0])
        if high - low >= task.window[1] - task.window[0] + 2 * beyond:
            found |= (mass > low + beyond) & (mass < high - beyond)
    return found


def _sidebands(task: Task) -> list[Range]:
    """The sidebands from low to high masses, in pieces where a signal region is left out of the data."""
    gaps = sorted([task.window, *([task.masked] if task.masked is not None else [])])
    ends = [task.mass_range[0], *(end for gap in gaps for end in gap), task.mass_range[1]]
    return [(low, high) for low, high in zip(ends[::2], ends[1::2], strict=True) if low < high]


def _windows(mass: NDArray[np.float32], task: Task, margin: float, place: NDArray[np.float64]) -> NDArray[np.float32]:
    """A window `[N, 2]` of the true one's width around each mass, at a random place, its anchors in the sideband."""
    width = task.window[1] - task.window[0]
    pieces = np.array(_sidebands(task))
    edges = pieces[np.searchsorted(pieces[:-1, 1], mass)]
    low = np.clip(mass - place * width, edges[:, 0] + margin * width, edges[:, 1] - (1 + margin) * width)
    return np.stack([low, low + width], 1).astype(np.float32)


def _fitted_again(fit: Any, task: Task, run: Run) -> tuple[Events, Template]:
    """Sideband data and the template of a method whose rows come from its fit: fitted again in moved windows."""
    if catalogue.get(fit.method).of:
        raise BadInput(f"refined.of: '{fit.method}' is made of other templates; refine those instead")
    found = list(_in_moved_windows(fit, task, run))
    if not found:
        raise BadInput(f"refined.of: no sideband has room to fit '{fit.method}' in; widen mass_range")
    sides, made = zip(*found, strict=True)
    weights = [each.weight for each in made if each.weight is not None]
    return join(*sides), Template(join(*(each.events for each in made)), np.concatenate(weights) if weights else None)


def _in_moved_windows(fit: Any, task: Task, run: Run) -> Iterator[tuple[Events, Template]]:
    low, high = task.window
    width = high - low
    for moved in _moved(task, width):
        attributes = {**task.attributes, "window": list(moved)}
        there = Moved(task.path, task.mass, task.shapes, task.units, attributes, (low, high))
        fitted = methods.load(fit.method).fit(there, fit.settings, fit.needs, run)
        data = there.events("data")
        data = data[there.inside(data)]
        yield data, template.run(fitted.modules["template"], _of_rows(fitted, there, data), fit.method, run.device)


def _moved(task: Task, width: float) -> list[Range]:
    """On each side, a window in the nearest piece of the sidebands with room for it and as much again around it."""
    below: list[Range] = []
    above: list[Range] = []
    for first, last in _sidebands(task):
        if last <= task.window[0] and last - (1 + 2 * AWAY) * width >= first:
            below = [(last - (1 + AWAY) * width, last - AWAY * width)]
        elif first >= task.window[1] and first + (1 + 2 * AWAY) * width <= last and not above:
            above = [(first + AWAY * width, first + (1 + AWAY) * width)]
    return below + above


def _of_rows(fitted: methods.Fitted, task: Task, data: Events) -> Draws:
    """Draws of a template whose rows come from a fit, at the masses of `data`."""
    inputs = ports.inputs(fitted.modules["template"], task)
    tables: Mapping[str, NDArray[np.float32]] = {
        name: rows.mass[:, None] if name.endswith("condition") else rows.features
        for name, port in inputs.items()
        if isinstance(port.drawn, Rows)
        for rows in [fitted.rows[port.drawn.group]]
    }
    return Draws(inputs, data.mass, tables, {}, task.seed)

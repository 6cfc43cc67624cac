"""One task: what one fit may see, made from a data set for one place in the grid.

`data/` (unlabelled, with the signal that was injected), `simulation/`, `reference/` (true background and further true
signal, for the two references) and `test/` (labelled, never trained on) share no events. The labels of `data/` lie in
`truth/`. `target` holds the values of the `mass` that template events get.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.tables import Events
from sideband.infer import events
from sideband.infer.arguments import LARGEST_SEED
from sideband.infer.called import called
from sideband.infer.columns import Columns, joined
from sideband.infer.draws import TARGET
from sideband.infer.errors import BadInput
from sideband.infer.metadata import is_range

# A window or a sideband with fewer events than this is an error in the suite, not a search.
LEAST_EVENTS = 100

Range = tuple[float, float]


@dataclass(frozen=True)
class Task:
    """A task read back.

    Args:
        path: its file.
        mass: the column that fits are conditioned on: a mass, or an energy.
        shapes: the shape of one event of each feature, by name; `()` for one number.
        units: the unit of each column.
        attributes: all attributes of the file.
    """

    path: Path
    mass: str
    shapes: dict[str, tuple[int, ...]]
    units: dict[str, str]
    attributes: dict[str, Any]

    @property
    def features(self) -> dict[str, int]:
        """How many numbers each feature has per event, by name."""
        return {name: prod(shape) for name, shape in self.shapes.items()}

    @property
    def width(self) -> int:
        """How many numbers all features together have per event."""
        return sum(self.features.values())

    @property
    def windowed(self) -> bool:
        """Whether the task has a signal region in mass; without one, all its data are background."""
        return "window" in self.attributes

    @property
    def window(self) -> Range:
        """The signal region, in the mass unit; raises `BadInput` where there is none."""
        return self._range("window")

    @property
    def mass_range(self) -> Range:
        """The whole mass range of the search, in the mass unit; raises `BadInput` where there is none."""
        return self._range("mass_range")

    @property
    def masked(self) -> Range | None:
        """The signal region that is left out of the data, in the task of a validation window."""
        return self._range("masked") if "masked" in self.attributes else None

    def _range(self, name: str) -> Range:
        if not self.windowed:
            raise BadInput(f"{self.path}: this task has no mass window; choose a method that needs none")
        low, high = self.attributes[name]
        return low, high

    @property
    def seed(self) -> int:
        """The seed of the task, and of every fit on it."""
        return int(self.attributes["seed"])

    @property
    def labelled(self) -> bool:
        """Whether the truth is known."""
        return "injection" in self.attributes

    def cell(self) -> dict[str, Any]:
        """The task's place in the grid: window, injection, seed, and the data it was drawn from."""
        keys = ("mass_range", "dataset", "dataset_sha256", "oversampling", "data_in_range")
        return {
            "window": window_name(self.window) if self.windowed else self.attributes.get("place", "all"),
            "injection": injection_name(self.attributes.get("injection")),
            "seed": seed_name(self.seed),
            **{key: self.attributes[key] for key in keys if key in self.attributes},
        }

    def events(self, group: str) -> Events:
        """The events of a group, wide features flattened; only `reference` and `test` have labels.

        Raises:
            BadInput: the task has no such group (no truth, or no simulation).
        """
        labels = ["label"] if group in ("reference", "test") else []
        return self.table(events.read(self.path, [*self.columns, *labels], group), events.rows_of(self.path, group))

    @property
    def columns(self) -> list[str]:
        """The columns of an event: the mass, then the features."""
        return [self.mass, *self.features]

    def table(self, columns: Columns, rows: NDArray[np.uint32] | None = None) -> Events:
        """Columns that were read, of this task or of a file made for it, as events; `label` too if it is there."""
        label = columns["label"].astype(np.int8) if "label" in columns else None
        return Events(columns[self.mass], joined(columns, list(self.features)), label, rows)

    def inside(self, table: Events) -> NDArray[np.bool_]:
        """Which events lie in the signal region; all if there is none."""
        return events.in_window(table.mass, self.window) if self.windowed else np.ones(len(table), dtype=bool)


def read(path: str | Path) -> Task:
    """Open a task and check everything but the values of its features, which are checked when they are read.

    Raises:
        BadInput: the file is not a task, lacks something, or contradicts itself.
    """
    with events.opened(path) as file:
        attributes = events.attributes(file)
        if attributes.get("kind") != "task":
            raise BadInput(f"{path}: not a task file; `{called('benchmarks', 'task')}` makes one")
        _check_attributes(attributes, path)
        mass, features = attributes["mass"], attributes["features"]
        data = group(file, "data", [mass, *features], path)
        units = {name: events.unit(each, name, path) for name, each in data.items()}
        found = Task(Path(path), mass, {name: tuple(data[name].shape[1:]) for name in features}, units, attributes)
        _check_groups(file, found)
        _check_target(file, found)
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SEED


def _is_rising(value: Any) -> bool:
    return is_range(value) and value[0] < value[1]


# What each attribute must be, in words, and the test for it: of every task, of those with a window, and of those with
# a window and labels.
TEXT = "a text", _is_text
WHOLE = "a whole number from 0 on", _is_whole
_RANGE = "two rising numbers", _is_rising
_TRUTH = "true or false", lambda value: isinstance(value, bool)
_NUMBER = "a number", lambda value: isinstance(value, float)
Checks = dict[str, tuple[str, Callable[[Any], bool]]]
_NAMES = "a list of different names", _is_names
_ALWAYS: Checks = {"mass": TEXT, "features": _NAMES, "seed": WHOLE}
_ALWAYS |= {"dataset": TEXT, "dataset_sha256": TEXT}
_OPTIONAL: Checks = {"injection": WHOLE, "place": TEXT, "smeared": _NAMES, "masked": _RANGE}
_WITH_WINDOW: Checks = {"window": _RANGE, "mass_range": _RANGE, "validation": _TRUTH, "oversampling": WHOLE}
_WITH_WINDOW |= {"data_in_window": WHOLE, "data_in_range": WHOLE}
_WITH_SIGNAL: Checks = {"signal_in_window": WHOLE, "background_in_window": WHOLE, "significance": _NUMBER}


def _check_attributes(attributes: dict[str, Any], path: str | Path) -> None:
    needed = _ALWAYS | {name: rule for name, rule in _OPTIONAL.items() if name in attributes}
    windowed = any(name in attributes for name in _WITH_WINDOW)
    if windowed:
        needed |= _WITH_WINDOW | (_WITH_SIGNAL if "injection" in attributes else {})
    check_attributes(attributes, needed, path)
    if attributes["mass"] in attributes["features"]:
        raise BadInput(f"{path}: names {attributes['mass']!r} as mass and as a feature; draw the task again")
    if not set(attributes.get("smeared", [])) <= set(attributes["features"]):
        raise BadInput(f"{path}: attribute 'smeared' names what is no feature; draw the task again")
    if windowed:
        (low, high), (least, most) = attributes["window"], attributes["mass_range"]
        if not least < low < high < most:
            raise BadInput(f"{path}: its window does not lie inside its mass range; draw the task again")


def check_attributes(attributes: dict[str, Any], needed: Checks, path: str | Path) -> None:
    """Refuse attributes that are missing or not what they must be; raises `BadInput`."""
    for name, (what, right) in needed.items():
        if name not in attributes or not right(attributes[name]):
            how = "is missing" if name not in attributes else f"must be {what}"
            raise BadInput(f"{path}: attribute '{name}' {how}; draw the task again")


def group(file: h5py.Group, name: str, columns: Sequence[str], path: str | Path) -> dict[str, h5py.Dataset]:
    """Columns of one of a task's groups; raises `BadInput` if it has none, or no events."""
    found = events.item(file, name)
    if not isinstance(found, h5py.Group):
        raise BadInput(f"{path}: no group '{name}'; draw the task again")
    data = events.datasets(found, columns, path)
    if not all(map(len, data.values())):
        raise BadInput(f"{path}: no events in '{name}'; draw the task again")
    return data


def _check_groups(file: h5py.Group, found: Task) -> None:
    """All groups have the columns of the data, and those that are labelled have a label of 0 or 1 for each event."""
    path, columns = found.path, [found.mass, *found.features]
    groups = {"data": group(file, "data", columns, path)}
    if found.labelled:
        groups |= {name: group(file, name, [*columns, "label"], path) for name in ("reference", "test")}
    if "simulation" in file:
        groups["simulation"] = group(file, "simulation", columns, path)
    for name, datasets in groups.items():
        for column, data in datasets.items():
            shape = found.shapes.get(column, ())
            if data.shape[1:] != shape or (shape and prod(shape) < 2):
                raise BadInput(f"{path}: '{name}' has {column!r} of shape {data.shape}; draw the task again")
    labels = {name: datasets["label"] for name, datasets in groups.items() if "label" in datasets}
    if found.windowed and found.labelled:
        labels["truth"] = group(file, "truth", ["label"], path)["label"]
        if labels["truth"].shape != groups["data"][found.mass].shape:
            raise BadInput(f"{path}: 'truth' and 'data' are of unequal length; draw the task again")
    for name, data in labels.items():
        if not np.isin(events.column(data, "label", path), (0, 1)).all():
            raise BadInput(f"{path}: '{name}' has labels other than 0 and 1; draw the task again")


def _check_target(file: h5py.Group, found: Task) -> None:
    """Targets are one number each: in the window, or above 0 where there is none."""
    target = events.column(events.datasets(file, [TARGET], found.path)[TARGET], TARGET, found.path)
    right = events.in_window(target, found.window) if found.windowed else target > 0
    if target.ndim != 1 or not len(target) or not right.all():
        where = "in the window" if found.windowed else "above 0"
        raise BadInput(f"{found.path}: '{TARGET}' must be numbers {where}, at least one; draw the task again")


def window_name(window: Sequence[float]) -> str:
    """The name of a window in folders and tables.

    >>> window_name((3.3, 3.7)), window_name((3300, 3700.0)), window_name((-1, 2))
    ('3.3-3.7', '3300-3700', '-1-2')
    """
    return "-".join(repr(float(edge) + 0.0).removesuffix(".0") for edge in window)  # 0.0 turns -0.0 into itself


def injection_name(injection: int | None) -> str:
    """The name of an injection in folders and tables: "n500", or "observed" for events without labels."""
    return "observed" if injection is None else f"n{injection}"


def seed_name(seed: int) -> str:
    """The name of a seed in folders and tables: "s1"."""
    return f"s{seed}"

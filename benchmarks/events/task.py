"""One task: what one fit may see, made from a data set for one window, injection and seed.

`data/` (unlabelled, signal injected), `simulation/`, `reference/` (true background, and further true signal, for the
two references) and `test/` (labelled, never trained on) share no events. The labels of `data/` lie in `truth/`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.tables import Events
from sideband.infer import events
from sideband.infer.arguments import LARGEST_SEED
from sideband.infer.columns import joined
from sideband.infer.errors import BadInput
from sideband.infer.metadata import is_range

# Fewer events than this in the window or in one sideband are an error in the suite, not a search.
LEAST_EVENTS = 100

WINDOWLESS = "showers"  # what folders and tables call the window of a task that has none

Range = tuple[float, float]


@dataclass(frozen=True)
class Task:
    """A task read back.

    Args:
        path: its file.
        mass: the column of the mass; of showers, that of the incident energy.
        features: the numbers an event of each feature, by name.
        units: of each column.
        attributes: everything else the file says of itself.
    """

    path: Path
    mass: str
    features: dict[str, int]
    units: dict[str, str]
    attributes: dict[str, Any]

    @property
    def width(self) -> int:
        """Numbers an event of all features together."""
        return sum(self.features.values())

    @property
    def windowed(self) -> bool:
        """Whether there is a signal region in mass; a task of showers has none, and all its data are background."""
        return "window" in self.attributes

    @property
    def window(self) -> Range:
        """The signal region, in the mass unit; raises `BadInput` where there is none."""
        return self._range("window")

    @property
    def mass_range(self) -> Range:
        """The search's whole mass range, in the mass unit; raises `BadInput` where there is none."""
        return self._range("mass_range")

    def _range(self, name: str) -> Range:
        if not self.windowed:
            raise BadInput(f"{self.path}: a task of showers has no mass window; choose a method that needs none")
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
        """What places the task in a grid: window, injection, seed, and the data it was drawn from."""
        keys = ("mass_range", "dataset", "dataset_sha256", "oversampling", "data_in_range")
        return {
            "window": window_name(self.window) if self.windowed else WINDOWLESS,
            "injection": injection_name(self.attributes.get("injection")),
            "seed": seed_name(self.seed),
            **{key: self.attributes[key] for key in keys if key in self.attributes},
        }

    def events(self, group: str) -> Events:
        """The events of a group, labelled in `reference` and `test` alone.

        Raises:
            BadInput: the task has no such group (no truth, or no simulation).
        """
        labelled = group in ("reference", "test")
        names = [self.mass, *self.features] + (["label"] if labelled else [])
        columns = events.read(self.path, names, group)
        table = joined(columns, list(self.features))
        return Events(columns[self.mass], table, columns["label"].astype(np.int8) if labelled else None)

    def inside(self, table: Events) -> NDArray[np.bool_]:
        """Which events lie in the signal region; all where there is none."""
        return events.in_window(table.mass, self.window) if self.windowed else np.ones(len(table), dtype=bool)


def read(path: str | Path) -> Task:
    """Open a task, with everything that it says of itself checked; the values of its features are when they are read.

    Raises:
        BadInput: no task, or one that lacks something or contradicts itself.
    """
    with events.opened(path) as file:
        attributes = events.attributes(file)
        if attributes.get("kind") != "task":
            raise BadInput(f"{path}: not a task file; `python -m benchmarks task` makes one")
        _check_said(attributes, "target_energy" not in file, path)
        mass, features = attributes["mass"], attributes["features"]
        data = _group(file, "data", [mass, *features], path)
        units = {name: events.unit(each, name, path) for name, each in data.items()}
        found = Task(Path(path), mass, {name: math.prod(data[name].shape[1:]) for name in features}, units, attributes)
        _check_groups(file, found)
        _check_targets(file, found)
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SEED


def _is_rising(value: Any) -> bool:
    return is_range(value) and value[0] < value[1]


# What attributes must be, in words, and whether they are: of every task, of those with a window, with labels there, of
# showers.
_TEXT = "a text", _is_text
_WHOLE = "a whole number from 0 on", _is_whole
_RANGE = "two rising numbers", _is_rising
_TRUTH = "true or false", lambda value: isinstance(value, bool)
_NUMBER = "a number", lambda value: isinstance(value, float)
Checks = dict[str, tuple[str, Callable[[Any], bool]]]
_SAID: Checks = {"mass": _TEXT, "features": ("a list of different names", _is_names), "seed": _WHOLE}
_SAID |= {"dataset": _TEXT, "dataset_sha256": _TEXT}
_OF_WINDOWS: Checks = {"window": _RANGE, "mass_range": _RANGE, "validation": _TRUTH, "oversampling": _WHOLE}
_OF_WINDOWS |= {"data_in_window": _WHOLE, "data_in_range": _WHOLE}
_OF_LABELS: Checks = {"injection": _WHOLE, "signal_in_window": _WHOLE, "background_in_window": _WHOLE}
_OF_LABELS |= {"significance": _NUMBER}
_OF_SHOWERS: Checks = {"injection": _WHOLE, "photons": _WHOLE, "samples": _TEXT}


def _check_said(attributes: dict[str, Any], windowed: bool, path: str | Path) -> None:
    labelled = _OF_LABELS if "injection" in attributes else {}
    for name, (what, right) in {**_SAID, **({**_OF_WINDOWS, **labelled} if windowed else _OF_SHOWERS)}.items():
        if name not in attributes or not right(attributes[name]):
            how = "is missing" if name not in attributes else f"must be {what}"
            raise BadInput(f"{path}: attribute '{name}' {how}; draw the task again")
    if attributes["mass"] in attributes["features"]:
        raise BadInput(f"{path}: names {attributes['mass']!r} as mass and as a feature; draw the task again")
    if windowed:
        (low, high), (least, most) = attributes["window"], attributes["mass_range"]
        if not least < low < high < most:
            raise BadInput(f"{path}: its window does not lie inside its mass range; draw the task again")
    else:
        from sideband.benchmarks.problems.showers import (
            draw as showers,  # needs scipy, which images of other stages lack
        )

        showers.samples(attributes)


def _group(file: h5py.Group, name: str, columns: Sequence[str], path: str | Path) -> dict[str, h5py.Dataset]:
    """Columns of one of a task's groups, not empty; raises `BadInput`."""
    group = events.item(file, name)
    if not isinstance(group, h5py.Group):
        raise BadInput(f"{path}: no group '{name}'; draw the task again")
    found = events.datasets(group, columns, path)
    if not all(map(len, found.values())):
        raise BadInput(f"{path}: no events in '{name}'; draw the task again")
    return found


def _check_groups(file: h5py.Group, found: Task) -> None:
    """All groups have the data's columns, and those that are labelled a label of 0 or 1 for each event."""
    path, columns = found.path, [found.mass, *found.features]
    told = {"reference": ["label"], "test": ["label"]} if found.labelled else {}
    if not found.windowed:
        told = {"reference": ["label", "mass"], "test": ["label", "sample", "deposited"]}
    groups = {name: _group(file, name, [*columns, *more], path) for name, more in told.items()}
    groups["data"] = _group(file, "data", columns, path)
    if "simulation" in file:
        groups["simulation"] = _group(file, "simulation", columns, path)
    for group, held in groups.items():
        for name, data in held.items():
            wide = name in found.features and not found.windowed
            if data.ndim != 1 and not (wide and data.shape[1:] == groups["data"][name].shape[1:]):
                raise BadInput(f"{path}: '{group}' has {name!r} of shape {data.shape}; draw the task again")
    labels = {name: held["label"] for name, held in groups.items() if "label" in held}
    if found.windowed and found.labelled:
        labels["truth"] = _group(file, "truth", ["label"], path)["label"]
        if labels["truth"].shape != groups["data"][found.mass].shape:
            raise BadInput(f"{path}: 'truth' and 'data' are of unequal length; draw the task again")
    for group, data in labels.items():
        if not np.isin(events.column(data, "label", path), (0, 1)).all():
            raise BadInput(f"{path}: '{group}' has labels other than 0 and 1; draw the task again")


def _check_targets(file: h5py.Group, found: Task) -> None:
    """Target masses are one number each, and lie in the window; target energies likewise, and are above 0."""
    name = "target_mass" if found.windowed else "target_energy"
    target = events.column(events.datasets(file, [name], found.path)[name], name, found.path)
    right = events.in_window(target, found.window) if found.windowed else target > 0
    if target.ndim != 1 or not len(target) or not right.all():
        where = "in the window" if found.windowed else "above 0"
        raise BadInput(f"{found.path}: '{name}' must be numbers {where}, at least one; draw the task again")


def window_name(window: Sequence[float]) -> str:
    """How folders and tables call a window, apart from every other: "3.3-3.7", "3300-3700", "-1-2"."""
    return "-".join(repr(float(edge) + 0.0).removesuffix(".0") for edge in window)  # 0.0 turns -0.0 into itself


def injection_name(injection: int | None) -> str:
    """How folders and tables call an injection: "n500", or "observed" for events without labels."""
    return "observed" if injection is None else f"n{injection}"


def seed_name(seed: int) -> str:
    """How folders and tables call a seed: "s1"."""
    return f"s{seed}"

"""One task: what one fit may see, made from a data set for one window, injection and seed.

`data/` (unlabelled, signal injected), `simulation/`, `reference/` (true background, and further true signal, for the
two references) and `test/` (labelled, never trained on) share no events. The labels of `data/` lie in `truth/`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Dataset, Events, join
from infer import events
from infer.arguments import LARGEST_SEED
from infer.columns import joined
from infer.draws import generator
from infer.errors import BadInput
from infer.metadata import is_range

# Shares of the pools that come without a sample of their own. Splits are the same for every seed.
BACKGROUND_SPLIT = {"data": 0.6, "reference": 0.2, "test": 0.2}  # where no further background is given
FURTHER_SPLIT = {"reference": 0.5, "test": 0.5}  # of the further background
SIGNAL_SPLIT = {"data": 0.4, "reference": 0.3, "test": 0.3}

# Fewer events than this in the window or in one sideband are an error in the suite, not a search.
LEAST_EVENTS = 100
MOST_TARGETS = 50_000_000  # they are drawn in memory

WINDOWLESS = "showers"  # what folders and tables call the window of a task that has none

Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """How a task is drawn.

    Args:
        mass_range: the search's whole mass range; everything outside is cut.
        window: the signal region, strictly inside the range.
        injection: signal events over the whole mass range; None for data as they are.
        seed: draws the signal, the background subset, the order and the target masses.
        masked: a window whose events are left out of the data: the signal region, in a validation window's task.
        data_events: background events to draw for the data; all where None.
        oversampling: target masses per signal-region event.
    """

    mass_range: Range
    window: Range
    injection: int | None
    seed: int
    masked: Range | None = None
    data_events: int | None = None
    oversampling: int = 4


def make(dataset: Dataset, recipe: Recipe, out: str | Path) -> None:
    """Draw a task and write it to `out`.

    Raises:
        BadInput: an empty window or sideband, more signal than there is, an injection into unlabelled events, or too
            many target masses.
    """
    low, high = recipe.mass_range
    if not low < recipe.window[0] < recipe.window[1] < high:
        raise BadInput(f"window {list(recipe.window)} does not lie inside the mass range {list(recipe.mass_range)}")
    if recipe.injection is None:  # as they are: whatever labels there are, nothing may use them
        dataset = replace(dataset, data=replace(dataset.data, label=None), background=None)
    pools = _pools(dataset)
    data = _data(dataset, pools, recipe)
    if recipe.masked is not None:
        data = data[~events.in_window(data.mass, recipe.masked)]
    _check_masses(dataset, data, recipe)
    data = data[generator(recipe.seed, "order", 0).permutation(len(data))]
    inside = events.in_window(data.mass, recipe.window)
    if inside.sum() * recipe.oversampling > MOST_TARGETS:
        raise BadInput(
            f"oversampling: {recipe.oversampling} times the {inside.sum()} events in the window are more than "
            f"{MOST_TARGETS:,} target masses; choose less"
        )
    repeated = np.repeat(data.mass[inside], recipe.oversampling)
    target_mass = repeated[generator(recipe.seed, "target mass", 0).permutation(len(repeated))]

    attributes = {
        "kind": "task",
        "mass": dataset.mass,
        "features": list(dataset.features),
        "window": list(recipe.window),
        "mass_range": list(recipe.mass_range),
        "validation": recipe.masked is not None,
        "seed": recipe.seed,
        "oversampling": recipe.oversampling,
        "dataset": dataset.description,
        "dataset_sha256": dataset.sha256,
        "target_mass_source": "the signal-region data's masses, each as often as the oversampling says",
        **_counts(data, inside, recipe),
    }
    with events.new_file(out) as file:
        file.attrs.update(attributes)
        _write(file, "data", data, dataset)
        file.create_dataset("target_mass", data=target_mass).attrs["unit"] = dataset.units[dataset.mass]
        if dataset.simulation is not None:
            kept = (dataset.simulation.mass > np.float32(low)) & (dataset.simulation.mass < np.float32(high))
            _write(file, "simulation", dataset.simulation[kept], dataset)
        if data.label is not None:
            file.create_group("truth").create_dataset("label", data=data.label)
            for name in ("reference", "test"):
                kept = events.in_window(pools[name].mass, recipe.window)
                _write(file, name, pools[name][kept], dataset)
                file[name].create_dataset("label", data=pools[name][kept].label)


def _pools(dataset: Dataset) -> dict[str, Events]:
    """Events of data, reference and test before any cut; the last two are labelled, or missing without truth."""
    if dataset.data.label is None:
        return {"data": dataset.data}
    signal = _split(dataset.data[dataset.data.label == 1], SIGNAL_SPLIT, "split signal")
    background = dataset.data[dataset.data.label == 0]
    if dataset.background is None:
        pools = _split(background, BACKGROUND_SPLIT, "split background")
    else:
        further = Events(
            dataset.background.mass, dataset.background.features, np.zeros(len(dataset.background), np.int8)
        )
        pools = {"data": background, **_split(further, FURTHER_SPLIT, "split further background")}
    return {
        "data": pools["data"],
        "signal": signal["data"],
        "reference": join(pools["reference"], signal["reference"]),
        "test": join(pools["test"], signal["test"]),
    }


def _split(table: Events, shares: dict[str, float], purpose: str) -> dict[str, Events]:
    order = generator(0, purpose, 0).permutation(len(table))
    edges = (np.cumsum([0.0, *shares.values()]) * len(table)).round().astype(int)
    return {name: table[np.sort(order[edges[i] : edges[i + 1]])] for i, name in enumerate(shares)}


def _data(dataset: Dataset, pools: dict[str, Events], recipe: Recipe) -> Events:
    """Background of the task's data, cut to the mass range, with the injected signal at its end."""
    low, high = (np.float32(edge) for edge in recipe.mass_range)

    def cut(table: Events) -> Events:
        return table[(table.mass > low) & (table.mass < high)]

    background = pools["data"]
    if recipe.data_events is not None:
        if recipe.data_events > len(background):
            raise BadInput(
                f"data_events: {recipe.data_events} were asked for, the data set holds {len(background)} for the data"
            )
        chosen = generator(recipe.seed, "background", 0).permutation(len(background))[: recipe.data_events]
        background = background[np.sort(chosen)]
    background = cut(background)
    if recipe.injection is None:
        return background
    if not dataset.labelled:
        raise BadInput("injections: these events have no labels, so no signal can be injected; remove the key")
    signal = cut(pools["signal"])
    if recipe.injection > len(signal):
        raise BadInput(
            f"injection {recipe.injection}: only {len(signal)} signal events are there to inject in the mass range"
            + _unit_hint(float(np.median(dataset.data.mass)), recipe.mass_range)
        )
    return join(background, signal[generator(recipe.seed, "signal", 0).permutation(len(signal))[: recipe.injection]])


def _check_masses(dataset: Dataset, data: Events, recipe: Recipe) -> None:
    """Refuse windows and sidebands with hardly an event, and say so if the unit looks wrong."""
    low, high = recipe.window
    unit = dataset.units[dataset.mass]
    parts = {
        f"the window {low}-{high} {unit}": events.in_window(data.mass, recipe.window).sum(),
        f"the sideband below {low} {unit}": (data.mass <= np.float32(low)).sum(),
        f"the sideband above {high} {unit}": (data.mass >= np.float32(high)).sum(),
    }
    for name, number in parts.items():
        if number < LEAST_EVENTS:
            held = np.percentile(dataset.data.mass, [0, 50, 100])
            hint = _unit_hint(float(held[1]), recipe.mass_range)
            raise BadInput(
                f"{name} holds {number} events (at least {LEAST_EVENTS} are needed): '{dataset.mass}' runs from "
                f"{held[0]:.4g} to {held[2]:.4g} with median {held[1]:.4g}; change the window or the mass range{hint}"
            )


def _unit_hint(median: float, mass_range: Range) -> str:
    for factor, text in ((1e3, "TeV, but the suite's windows in GeV"), (1e-3, "GeV, but the suite's windows in TeV")):
        if mass_range[0] < median * factor < mass_range[1]:
            return f"; the masses look to be in {text}"
    return ""


def _counts(data: Events, inside: NDArray[np.bool_], recipe: Recipe) -> dict[str, Any]:
    """Injected and achieved numbers: S and B in the window, S/sqrt(B), and the data there."""
    counts: dict[str, Any] = {"data_in_window": int(inside.sum()), "data_in_range": len(data)}
    if data.label is not None:
        signal = int((data.label[inside] == 1).sum())
        background = int((data.label[inside] == 0).sum())
        counts |= {
            "injection": recipe.injection,
            "signal_in_window": signal,
            "background_in_window": background,
            "significance": signal / np.sqrt(background) if background else np.nan,
        }
    return counts


def _write(file: h5py.File, name: str, table: Events, dataset: Dataset) -> None:
    events.write(file.create_group(name), table.columns(dataset.mass, dataset.features), dataset.units)


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
        from benchmarks.showers import task as showers  # needs scipy, which images of other stages lack

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

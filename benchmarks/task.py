"""One task: what one fit may see, made from a data set for one window, injection and seed.

`data/` (unlabelled, signal injected), `simulation/`, `reference/` (true background, and further true signal, for the
two references) and `test/` (labelled, never trained on) share no events. The labels of `data/` lie in `truth/`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Dataset, Events, join
from infer import events
from infer.columns import joined
from infer.draws import generator
from infer.errors import BadInput

# Shares of the pools that come without a sample of their own. Splits are the same for every seed.
BACKGROUND_SPLIT = {"data": 0.6, "reference": 0.2, "test": 0.2}  # where no further background is given
FURTHER_SPLIT = {"reference": 0.5, "test": 0.5}  # of the further background
SIGNAL_SPLIT = {"data": 0.4, "reference": 0.3, "test": 0.3}

# Fewer events than this in the window or in one sideband are an error in the suite, not a search.
LEAST_EVENTS = 100

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
        BadInput: an empty window or sideband, more signal than there is, or an injection into unlabelled events.
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
    """Open a task; raises `BadInput` if the file is not one."""
    with events.opened(path) as file:
        attributes = {
            name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for name, value in file.attrs.items()
        }
        if attributes.get("kind") != "task":
            raise BadInput(f"{path}: not a task file; `python -m benchmarks task` makes one")
        units = {name: str(data.attrs.get("unit", "")) for name, data in file["data"].items()}
        features = {name: math.prod(file["data"][name].shape[1:]) for name in attributes["features"]}
    return Task(Path(path), attributes["mass"], features, units, attributes)


def window_name(window: Sequence[float]) -> str:
    """How folders and tables call a window: "3.3-3.7"."""
    return f"{window[0]:g}-{window[1]:g}"


def injection_name(injection: int | None) -> str:
    """How folders and tables call an injection: "n500", or "observed" for events without labels."""
    return "observed" if injection is None else f"n{injection}"


def seed_name(seed: int) -> str:
    """How folders and tables call a seed: "s1"."""
    return f"s{seed}"

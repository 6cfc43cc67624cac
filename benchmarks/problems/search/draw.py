"""Draw the task of a search from a data set, for one window, one injection and one seed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events import whole
from sideband.benchmarks.events.tables import Dataset, Events, join
from sideband.benchmarks.events.task import LEAST_EVENTS, Range
from sideband.infer import events
from sideband.infer.columns import ROW
from sideband.infer.draws import generator
from sideband.infer.errors import BadInput

# How events are shared out where the data set has no sample for each purpose. Splits are the same for every seed.
BACKGROUND_SPLIT = {"data": 0.6, "reference": 0.2, "test": 0.2}  # where no further background is given
FURTHER_SPLIT = {"reference": 0.5, "test": 0.5}  # of the further background
SIGNAL_SPLIT = {"data": 0.4, "reference": 0.3, "test": 0.3}

MOST_TARGETS = 50_000_000  # target masses are drawn in memory


@dataclass(frozen=True)
class Recipe:
    """How a task is drawn.

    Args:
        mass_range: the whole mass range of the search; events outside are removed.
        window: the signal region, strictly inside the range.
        injection: signal events over the whole mass range; None to take the data as they are.
        seed: draws the signal, the subset of the background, the order of events and the target masses.
        masked: a window to leave out of the data. In the task of a validation window it is the signal region.
        data_events: background events to draw for the data; None for all.
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

    Only `reference/` is cut to the window; `test/` keeps the whole mass range, so that sculpting can be measured. The
    whole numbers of all groups are smeared.

    Raises:
        BadInput: as `check`.
    """
    dataset = whole.smeared(_seen(dataset, recipe), recipe.seed)
    data, pools = _selected(dataset, recipe)
    data = data[generator(recipe.seed, "order", 0).permutation(len(data))]
    inside = events.in_window(data.mass, recipe.window)
    repeated = np.repeat(data.mass[inside], recipe.oversampling)
    target_mass = repeated[generator(recipe.seed, "target mass", 0).permutation(len(repeated))]

    with events.new_file(out) as file:
        file.attrs.update(_attributes(dataset, recipe) | _counts(data, inside, recipe))
        _write(file.create_group("data"), dataset, data)
        file.create_dataset("target", data=target_mass).attrs["unit"] = dataset.units[dataset.mass]
        if dataset.simulation is not None:
            kept = events.in_window(dataset.simulation.mass, recipe.mass_range)
            _write(file.create_group("simulation"), dataset, dataset.simulation[kept])
        if data.label is not None:
            file.create_group("truth").create_dataset("label", data=data.label)
            for name, cut in (("reference", recipe.window), ("test", recipe.mass_range)):
                table = pools[name][events.in_window(pools[name].mass, cut)]
                dataset.write(file.create_group(name), table)
                file[name].create_dataset("label", data=table.label)


def check(dataset: Dataset, recipe: Recipe) -> None:
    """Refuse events of which a task cannot be drawn, without drawing it.

    Raises:
        BadInput: the window or a sideband is nearly empty, there are fewer signal events than the injection, events
            without labels get an injection, or there are too many target masses.
    """
    _selected(_seen(dataset, recipe), recipe)


def _seen(dataset: Dataset, recipe: Recipe) -> Dataset:
    """What a task may use of a data set: where no signal is injected, no labels, even if there are some."""
    if recipe.injection is not None:
        return dataset
    return replace(dataset, data=replace(dataset.data, label=None), background=None)


def _selected(dataset: Dataset, recipe: Recipe) -> tuple[Events, dict[str, Events]]:
    """The data of a task before they are shuffled, and the pools of all purposes; raises `BadInput` as `check`."""
    low, high = recipe.mass_range
    if not low < recipe.window[0] < recipe.window[1] < high:
        raise BadInput(f"window {list(recipe.window)} does not lie inside the mass range {list(recipe.mass_range)}")
    pools = _pools(dataset)
    pools["data"], left = _chosen(pools["data"], recipe)
    if dataset.data.label is not None:  # the idealised detector is to have as much background as templates have
        pools["reference"] = join(pools["reference"], left)
    data = _data(dataset, pools, recipe)
    if recipe.masked is not None:
        data = data[~events.in_window(data.mass, recipe.masked)]
    _check_masses(dataset, data, recipe)
    inside = int(events.in_window(data.mass, recipe.window).sum())
    if inside * recipe.oversampling > MOST_TARGETS:
        raise BadInput(
            f"oversampling: {recipe.oversampling} times the {inside} events in the window are more than "
            f"{MOST_TARGETS:,} target masses; choose less"
        )
    return data, pools


def _write(group: h5py.Group, dataset: Dataset, table: Events) -> None:
    """Write events, and where each of them stands in the files of the data set, if that has any."""
    dataset.write(group, table)
    if table.rows is not None:
        group.create_dataset(ROW, data=table.rows.astype(np.uint32))


def _attributes(dataset: Dataset, recipe: Recipe) -> dict[str, Any]:
    """What the task is and where it comes from."""
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
        "target_source": "the signal-region data's masses, each as often as the oversampling says",
    }
    if recipe.masked is not None:
        attributes["masked"] = list(recipe.masked)
    return attributes | ({"smeared": list(dataset.whole)} if dataset.whole else {})


def _pools(dataset: Dataset) -> dict[str, Events]:
    """Events for data, signal, reference and test before any cut; without labels, for the data alone."""
    if dataset.data.label is None:
        return {"data": dataset.data}
    signal = _split(dataset.data[dataset.data.label == 1], SIGNAL_SPLIT, "split signal")
    background = dataset.data[dataset.data.label == 0]
    if dataset.background is None:
        pools = _split(background, BACKGROUND_SPLIT, "split background")
    else:
        further = replace(dataset.background, label=np.zeros(len(dataset.background), np.int8))
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


def _chosen(background: Events, recipe: Recipe) -> tuple[Events, Events]:
    """The background that is drawn for the data, and what is left of it."""
    number = len(background) if recipe.data_events is None else recipe.data_events
    if number > len(background):
        raise BadInput(
            f"data_events: {recipe.data_events} were asked for, the data set holds {len(background)} for the data"
        )
    if number == len(background):
        return background, background[:0]
    order = generator(recipe.seed, "background", 0).permutation(len(background))
    return background[np.sort(order[:number])], background[np.sort(order[number:])]


def _data(dataset: Dataset, pools: dict[str, Events], recipe: Recipe) -> Events:
    """The data before they are shuffled: background in the mass range, then the injected signal."""

    def cut(table: Events) -> Events:
        return table[events.in_window(table.mass, recipe.mass_range)]

    background = cut(pools["data"])
    if recipe.injection is None:
        return background
    if not dataset.labelled:
        raise BadInput("injections: these events have no labels, so no signal can be injected; remove the key")
    signal = cut(pools["signal"])
    if recipe.injection > len(signal):
        raise BadInput(
            f"injection {recipe.injection}: only {len(signal)} signal events lie in the mass range"
            + _unit_hint(float(np.median(dataset.data.mass)), recipe.mass_range)
        )
    return join(background, signal[generator(recipe.seed, "signal", 0).permutation(len(signal))[: recipe.injection]])


def _check_masses(dataset: Dataset, data: Events, recipe: Recipe) -> None:
    """Refuse a window or sideband with hardly any events, and add a hint if the unit looks wrong."""
    low, high = recipe.window
    unit = f" {dataset.units[dataset.mass]}".rstrip()
    parts = {
        f"the window {low}-{high}{unit}": events.in_window(data.mass, recipe.window).sum(),
        f"the sideband below {low}{unit}": (data.mass <= np.float32(low)).sum(),
        f"the sideband above {high}{unit}": (data.mass >= np.float32(high)).sum(),
    }
    for name, number in parts.items():
        if number < LEAST_EVENTS:
            least, median, most = np.percentile(dataset.data.mass, [0, 50, 100])
            hint = _unit_hint(float(median), recipe.mass_range)
            raise BadInput(
                f"{name} holds {number} events (at least {LEAST_EVENTS} are needed): '{dataset.mass}' runs from "
                f"{least:.4g} to {most:.4g} with median {median:.4g}; change the window or the mass range{hint}"
            )


def _unit_hint(median: float, mass_range: Range) -> str:
    for factor, text in ((1e3, "TeV, but the suite's windows in GeV"), (1e-3, "GeV, but the suite's windows in TeV")):
        if mass_range[0] < median * factor < mass_range[1]:
            return f"; the masses look to be in {text}"
    return ""


def _counts(data: Events, inside: NDArray[np.bool_], recipe: Recipe) -> dict[str, Any]:
    """Numbers of data events and, if the truth is known, injected signal, S, B and S/√B in the window."""
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

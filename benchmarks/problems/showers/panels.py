"""Figures of how well scores separate each sample of decays from photons: by mass, depth, separation and lifetime."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.showers import draw as task
from sideband.benchmarks.report import style
from sideband.benchmarks.report.results import Results
from sideband.benchmarks.simulate.showers.calorimeter import CALORIMETER
from sideband.benchmarks.simulate.showers.decays import Decay
from sideband.benchmarks.simulate.showers.geometry import BOUNDARIES, END, FACE, HALF_WIDTH, LAYERS

Array = NDArray[np.float64]

METRIC = "matched_auc"
LABEL = "matched AUC"
CELL = 2 * HALF_WIDTH / LAYERS[0][1]  # mm, the finest pitch of all
MOLIERE = 10 * CALORIMETER.moliere_radius  # mm
WITHIN = 3  # how much more room a figure gives to the calorimeter than to the flight in front of it
FAINT = 0.3  # |AUC - 0.5| from which the map is dark, and numbers on it are white


def decays(results: Results) -> list[Decay]:
    """The samples of decays of the suite's tasks, in their order; none while no task is drawn."""
    if results.tasks.empty:
        return []
    return task.samples({"samples": results.tasks.iloc[0]["samples"]})


def masses(some: Sequence[Decay]) -> list[float]:
    """Their masses [GeV], each once, the heaviest first."""
    return sorted({each.mass for each in some}, reverse=True)


class Values:
    """One metric of the samples, or the notes that stand beside it: each seed's, found by method and sample."""

    def __init__(self, results: Results, metric: str, column: str = "value") -> None:
        rows = results.metric(f"shower_{metric}").groupby(["method", "sample"], sort=False)
        self._found = {key: group[column].tolist() for key, group in rows}

    def of(self, method: str, sample: Decay) -> list[Any]:
        """Of every seed that is finished, in their order."""
        return self._found.get((method, sample.name), [])

    def bands(self, method: str, some: Sequence[Decay]) -> Array:
        """Median, low and high over seeds `[3, samples]`; NaN where nothing is finished."""
        found = [sic.median_and_band(self.of(method, each))[:3] for each in some]
        return np.reshape(found, (-1, 3)).T

    def methods(self, results: Results) -> list[str]:
        """The methods that have any, in the suite's order."""
        there = {method for method, _ in self._found}
        return [name for name in results.suite["methods"] if name in there]


def separation(decay: Decay) -> float:
    """How far apart, mm, photons of a decay in front of the calorimeter reach its face at least: 2m/E times the way.

    So near are those that share the energy evenly; half of all pairs lie within 15 % of it.
    """
    assert decay.depth is not None
    return 2 * decay.mass / decay.energy * 1000 * (FACE - decay.depth)


def maps(results: Results) -> Figure | None:
    """Masses against depths, a panel a method: the median AUC over seeds."""
    values, fixed = Values(results, METRIC), [each for each in decays(results) if each.depth is not None]
    names = values.methods(results)
    if not names or not fixed:
        return None
    every_mass, depths = masses(fixed), sorted({each.depth or 0.0 for each in fixed})
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5.9 * columns, 0.9 + (0.6 + 0.33 * len(every_mass)) * rows))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, name in itertools.zip_longest(panels.flat, names):
        if name is None:
            axes.set_visible(False)
            continue
        table = np.full((len(every_mass), len(depths)), np.nan)
        for each, median in zip(fixed, values.bands(name, fixed)[0], strict=True):
            table[every_mass.index(each.mass), depths.index(each.depth or 0.0)] = median
        picture = axes.imshow(table, "RdBu_r", CenteredNorm(0.5, 0.5), aspect="auto")
        for (row, column), value in np.ndenumerate(table):
            ink = "white" if abs(value - 0.5) > FAINT else "black"
            text = f"{value:.2f}" if np.isfinite(value) else "n/a"
            axes.text(column, row, text, color=ink, ha="center", va="center", fontsize=8.5)
        axes.set_title(style.title(name), fontsize=10)
        axes.set_xticks(range(len(depths)), [f"{depth:.2f}" for depth in depths], fontsize=9)
        axes.set_yticks(range(len(every_mass)), [f"{mass:g} GeV" for mass in every_mass], fontsize=9)
        axes.grid(False)
    # Under the last method of each column, whichever row that is in.
    for axes in panels.flat[max(len(names) - columns, 0) : len(names)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("depth of the decay [m]", fontsize=11)
    figure.colorbar(picture, ax=panels, label=LABEL, aspect=40, pad=0.02)
    return figure


def by_depth(results: Results) -> Figure | None:
    """AUC against the depth of the decay, a panel a mass, with the layers of the calorimeter."""
    fixed = sorted((each for each in decays(results) if each.depth is not None), key=lambda each: each.depth or 0.0)
    figure = _by_mass(results, fixed, "depth", "depth of the decay [m]", rows=2)
    if figure is None:
        return None
    depths = sorted({each.depth or 0.0 for each in fixed})
    start = min(depths[0], FACE) - 0.05
    edges = FACE + np.array(BOUNDARIES) / 1000
    places, shown = [start, FACE, END], [0, 1, 1 + WITHIN]
    stretched = (lambda x: np.interp(x, places, shown)), (lambda x: np.interp(x, shown, places))
    for axes in figure.axes:
        axes.set_xscale("function", functions=stretched)
        axes.set_xlim(start, END)
        axes.set_xticks(depths, [f"{depth:.2f}" for depth in depths], rotation=60, fontsize=9)
        for layer, (near, far) in enumerate(itertools.pairwise(edges)):
            axes.axvspan(near, far, color="0.93" if layer % 2 else "0.87", lw=0, zorder=0)
            axes.text((near + far) / 2, 0.015, f"{layer}", ha="center", fontsize=9, color="0.45")
        axes.axvline(FACE, color="0.3", lw=1)
    return figure


def dead_zone(results: Results) -> Figure | None:
    """AUC against the photons' separation at the face, of decays in front of it."""
    values = Values(results, METRIC)
    before = sorted((each for each in decays(results) if (each.depth or FACE) < FACE), key=separation)
    if not values.methods(results) or not before:
        return None
    figure = Figure(figsize=(9.4, 4.6))
    axes = figure.subplots()
    _lines(axes, results, values, before, [separation(each) for each in before])
    axes.set_xscale("log")
    for place, what in ((CELL, f"cell of layer 0, {CELL:g} mm"), (MOLIERE, f"Molière radius, {MOLIERE:.0f} mm")):
        axes.axvline(place, color="0.4", lw=1, ls=":")
        axes.annotate(what, (place, 0.02), (-3, 0), textcoords="offset points", rotation=90, ha="right", fontsize=8.5)
    axes.set_xlabel("separation of the photons at the face [mm]")
    axes.set_ylabel(LABEL)
    _legend(figure)
    return figure


def by_lifetime(results: Results) -> Figure | None:
    """AUC of decays of each lifetime, a panel a mass."""
    lived = sorted((each for each in decays(results) if each.lifetime), key=lambda each: each.lifetime or 0.0)
    figure = _by_mass(results, lived, "lifetime", "lifetime [ns]", rows=1)
    if figure is None:
        return None
    lifetimes = sorted({each.lifetime or 0.0 for each in lived})
    for axes in figure.axes:
        axes.set_xscale("log")
        axes.set_xticks(lifetimes, [f"{lifetime:g}" for lifetime in lifetimes])
        axes.minorticks_off()
        axes.margins(x=0.1)
    return figure


def _by_mass(results: Results, some: Sequence[Decay], along: str, label: str, rows: int) -> Figure | None:
    values, every_mass = Values(results, METRIC), masses(some)
    if not values.methods(results) or not some:
        return None
    columns = -(-len(every_mass) // rows)
    width, height = (4.4, 3.4) if rows > 1 else (2.6, 4.0)
    figure = Figure(figsize=(2.4 + width * columns, height * rows))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, mass in itertools.zip_longest(panels.flat, every_mass):
        if mass is None:
            axes.remove()
            continue
        chosen = [each for each in some if each.mass == mass]
        _lines(axes, results, values, chosen, [getattr(each, along) for each in chosen])
        axes.set_title(f"{mass:g} GeV", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel(label)
    figure.supylabel(LABEL, fontsize=11)
    _legend(figure)
    return figure


def _lines(axes: Axes, results: Results, values: Values, some: Sequence[Decay], x: Sequence[float]) -> None:
    for name in values.methods(results):
        median, low, high = values.bands(name, some)
        axes.plot(x, median, marker="o", ms=4, label=style.title(name), **style.line(name))
        axes.fill_between(x, low, high, color=style.colour(name), alpha=0.15, lw=0)
    axes.axhline(0.5, color="0.6", lw=1)
    axes.set_ylim(0, 1.03)


def _legend(figure: Figure) -> None:
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right upper", fontsize=8.5, frameon=False)

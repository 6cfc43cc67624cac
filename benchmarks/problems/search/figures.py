"""Figures of a search's sensitivity."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sideband.benchmarks.grid.suite import Cell
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.report import speed, style
from sideband.benchmarks.report.results import Results


def headline(results: Results, injection: str, window: str) -> Figure:
    """Sensitivity against template throughput, one point a method; those without a generator on the left."""
    figure = Figure(figsize=(10.2, 4.8))
    aside, main = figure.subplots(1, 2, sharey=True, width_ratios=(1, 3.2))
    rates = speed.template_rates(results)
    without = [name for name in results.suite["methods"] if name not in rates]
    for name in results.suite["methods"]:
        values = list(results.values("sic_1e-3", name, injection, window).values())
        median, low, high, _ = sic.median_and_band(values)
        if not np.isfinite(median):
            continue
        axes, x = (main, rates[name]) if name in rates else (aside, float(without.index(name)))
        axes.errorbar(
            x,
            median,
            [[median - low], [high - median]],
            fmt="o",
            color=style.colour(name),
            capsize=4,
            markersize=8,
            label=labels.title(results, name),
        )
    main.set_xscale("log")
    if main.get_legend_handles_labels()[0]:
        figure.legend(*main.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    if rates:
        decades = np.log10([*rates.values()])
        main.set_xlim(10 ** np.floor(decades.min() - 0.1), 10 ** np.ceil(decades.max() + 0.1))
    main.set_xlabel("template events per second (all cores, host to host)")
    aside.set_xticks(
        range(len(without)), [labels.title(results, name) for name in without], rotation=40, ha="right", fontsize=8.5
    )
    aside.set_xlim(-0.6, len(without) - 0.4)
    aside.set_xlabel("no generator")
    aside.set_ylabel("SIC at background efficiency $10^{-3}$")
    style.from_zero(aside)
    over = labels.draws(len(results.suite.seeds(injection)))
    figure.suptitle(f"{over[0].upper()}{over[1:]}, {labels.strength(results, injection, window)}", fontsize=10)
    return figure


def sic_curves(results: Results, window: str) -> Figure:
    """SIC against background efficiency: every run thin, the median of each method thick; one panel an injection."""
    injections = list(results.suite.injections())
    figure = Figure(figsize=(2.0 + 5.4 * len(injections), 4.6))
    panels = figure.subplots(1, len(injections), sharey=False, squeeze=False)[0]
    for axes, injection in zip(panels, injections, strict=True):
        _sic_axes(axes)
        for name in results.suite["methods"]:
            rows = results.curves
            rows = rows[(rows["method"] == name) & (rows["injection"] == injection) & (rows["window"] == window)]
            if rows.empty:
                continue
            title = labels.title(results, name)
            for seed, run in rows.groupby("seed"):
                look = {"color": style.colour(name), "lw": 0.6, "alpha": 0.4, "label": f"_{title}, {seed}"}
                axes.plot(run["background_efficiency"], run["sic"], **look)
            median = rows.groupby("background_efficiency")["sic"].median()
            axes.plot(median.index, median, color=style.colour(name), lw=2, label=title)
        axes.set_title(labels.strength(results, injection, window), fontsize=10)
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _sic_axes(axes: Axes) -> None:
    efficiency = np.geomspace(1e-4, 1, 50)
    axes.plot(efficiency, np.sqrt(efficiency), color="0.8", ls=":", label="random")
    axes.axvline(sic.WORKING_POINT, color="0.85", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("background efficiency $\\epsilon_B$")
    axes.set_ylabel("SIC $= \\epsilon_S / \\sqrt{\\epsilon_B}$")
    axes.set_xlim(3e-4, 1)


def of_cell(results: Results, cell: Cell) -> dict[str, Figure]:
    """The SIC curve of one cell, where it has one, for its own run in MLflow."""
    place = vars(cell)
    values = results.curves[(results.curves[list(place)] == list(place.values())).all(axis=1)]["sic"].tolist()
    if not values:
        return {}
    figure = Figure(figsize=(5, 4), layout="tight")
    axes = figure.subplots()
    _sic_axes(axes)
    axes.plot(sic.GRID, values, color=style.colour(cell.method), lw=2, label=labels.title(results, cell.method))
    axes.legend(fontsize=8, frameon=False)
    return {"sic": figure}

"""The report's section on found signals: their fraction beside the truth, and what they look like."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.grid.suite import Cell
from sideband.benchmarks.metrics import interval as metric
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.report import records, style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.results import Results
from sideband.infer import events

COLUMNS = 4  # of panels with curves
BINS = 40  # of the histograms
LEAST_SIGNAL = 20  # true signal events that a histogram takes

Fits = list[tuple[Cell, dict[str, Any]]]
Ends = dict[Cell, tuple[float, float]]  # of the intervals, by cell


def section(results: Results) -> Section | None:
    """Fractions, verdicts, curves and templates of every method that models the signal; None if there is none."""
    fits = _fits(results)
    if not fits:
        return None
    scans = [(cell, fit) for cell, fit in fits if "interval" in fit]
    held = {cell: ends(results, scans, cell, fit) for cell, fit in scans}
    content: list[Table | Picture] = [_table(results, fits, held)]
    if scans:
        caption = (
            "Log-likelihood over no signal against the signal fraction: points with errors, the smooth curve, the "
            "interval (band) and the truth (dashed)."
        )
        content.append(Picture("signal_curves", caption, _curves(results, scans, held)))
    content += list(_templates(results, fits))
    return "Signal", _text(results, bool(scans)), content


def _fits(results: Results) -> Fits:
    found: Fits = []
    for cell in results.suite.cells():
        path = results.folder / cell.folder / "fit.json"
        if "signal" in catalogue.get(cell.method).roles and path.exists():
            found.append((cell, records.read(path)))
    return found


def truth(results: Results, cell: Cell, fit: dict[str, Any]) -> float:
    """The true signal fraction of a cell's window; 0 in a self-closure test, NaN where nobody knows."""
    if fit.get("interval", {}).get("self_closure"):
        return 0.0
    here = _drawn(results, cell)
    if here.empty or "signal_in_window" not in here:
        return math.nan
    return float(here["signal_in_window"].iloc[0] / here["data_in_window"].iloc[0])


def ends(results: Results, scans: Fits, cell: Cell, fit: dict[str, Any]) -> tuple[float, float]:
    """The ends of a cell's interval.

    In validation windows there is no signal, so what the scan gains there is the background model's own mistakes. The
    largest such gain of the same injection and any draw, by the number of events, lowers the line of the interval of
    the signal region.
    """
    windows = set(suites.validation(results.suite))
    systematic = 0.0
    if cell.window not in windows:
        for other, its in scans:
            if other.window in windows and replace(other, window=cell.window, seed=cell.seed) == cell:
                ours, theirs = (float(_drawn(results, each)["data_in_window"].iloc[0]) for each in (cell, other))
                systematic = max(systematic, its["interval"]["gain"] * ours / theirs)
    found = metric.interval(_curve(fit["interval"]), systematic)
    return found.low, found.high


def _drawn(results: Results, cell: Cell) -> pd.DataFrame:
    """What was drawn for a cell: one row, or none yet."""
    tasks = results.tasks
    return tasks[
        (tasks["window"] == cell.window) & (tasks["injection"] == cell.injection) & (tasks["seed"] == cell.seed)
    ]


def _curve(found: dict[str, Any]) -> metric.Curve:
    return metric.Curve(*(np.array(found[name], float) for name in ("fractions", "gains", "errors")))


def _table(results: Results, fits: Fits, ends_of: Ends) -> Table:
    rows = []
    for cell, fit in fits:
        true = truth(results, cell, fit)
        ranges = ["n/a"] * 4
        if cell in ends_of:
            statistical = fit["interval"]["low"], fit["interval"]["high"]
            ranges = [*_held(statistical, true), *_held(ends_of[cell], true)]
        rows.append(
            [
                labels.window(results, cell.window),
                labels.count(results.suite, cell.injection),
                cell.seed,
                style.title(cell.method),
                number(100 * fit["signal_fraction"]),
                number(100 * true),
                *ranges,
                _verdict(fit),
            ]
        )
    intervals = ["statistical 95 % interval, %", "holds it", "with validation, %", "holds it"]
    head = ["window", labels.INJECTED, "seed", "method", "fraction, %", "truth, %", *intervals]
    return Table("Signal fraction of the window's data, each draw by itself.", [*head, "verdict"], rows)


def _held(found: tuple[float, float], true: float) -> tuple[str, str]:
    """An interval in percent, and whether it holds the truth."""
    low, high = found
    holds = "n/a" if math.isnan(true) else "yes" if low <= true <= high else "no"
    return f"{number(100 * low)} to {number(100 * high)}", holds


def _verdict(fit: dict[str, Any]) -> str:
    """What a fit says of itself, without any truth."""
    if not fit["found"]:
        return "found nothing"
    if fit.get("agree") == 1:
        return f"found a signal, but only once in {fit['attempts']} attempts"
    return "found a signal"


def _curves(results: Results, scans: Fits, ends_of: Ends) -> Figure:
    columns = min(COLUMNS, len(scans))
    lines = -(-len(scans) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.6, 2.6 * lines + 0.4))
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, (cell, fit) in zip(panels, scans, strict=False):
        found = fit["interval"]
        curve = _curve(found)
        fine = np.geomspace(curve.fractions[0], curve.fractions[-1], 400)
        colour = style.colour(cell.method)
        low, high = ends_of[cell]
        axes.axvspan(max(low, fine[0]), high, color=colour, alpha=0.15, lw=0)
        axes.errorbar(curve.fractions, curve.gains, curve.errors, fmt=".", ms=3, color=colour)
        axes.plot(fine, metric.smooth(curve, fine), lw=1, color=colour)
        true = truth(results, cell, fit)
        if true > 0:
            axes.axvline(true, ls="--", lw=1, color="0.2")
        axes.set_xscale("log")
        top = max(found["gain"], 1.0)
        axes.set_ylim(-0.6 * top - 3, 1.15 * top + 3)
        place = f"{labels.injected(results.suite, cell.injection)}, {cell.seed}"
        axes.set_title(f"{style.title(cell.method)}\n{place}", fontsize=8)
    for axes in panels[len(scans) :]:
        axes.set_visible(False)
    figure.supxlabel("signal fraction of the window's data", fontsize=9)
    figure.supylabel("log-likelihood over no signal", fontsize=9)
    return figure


def _templates(results: Results, fits: Fits) -> list[Picture]:
    """The signal that each method found in the first draw, beside the true one."""
    pictures = []
    first = results.suite.timed()[0]
    for cell, fit in fits:
        path = results.folder / cell.folder / "signal.h5"
        if cell.task != first.task or not path.exists():
            continue
        the_task = task.read(results.folder / cell.task / "task.h5")
        place = f"{labels.window(results, cell.window)}, {labels.injected(results.suite, cell.injection)}, {cell.seed}"
        caption = (
            f"{style.title(cell.method)}, {place}: the signal that was found (line), true signal and the window's data "
            f"(shaded). The fit {_verdict(fit)}."
        )
        pictures.append(Picture(f"signal_{cell.window}_{cell.method}", caption, _template(the_task, path, cell.method)))
    return pictures


def _template(the_task: task.Task, path: Any, method: str) -> Figure:
    found = the_task.table(events.read(path, the_task.columns))
    data = the_task.events("data")
    data = data[the_task.inside(data)]
    samples = [(data, "0.8", "data in the window", True), (found, style.colour(method), "found", False)]
    if the_task.labelled:
        test = the_task.events("test")
        signal = test[(test.label == 1) & the_task.inside(test)]
        if len(signal) >= LEAST_SIGNAL:
            samples.insert(1, (signal, "0.45", "true signal", True))
    names = [the_task.mass, *(name for name, width in the_task.features.items() if width == 1)]
    figure = Figure(figsize=(2.7 * len(names), 2.7))
    for index, (axes, name) in enumerate(zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True)):
        column = list(the_task.features).index(name) if index else -1
        _histogram(axes, [(_values(table, column), *look) for table, *look in samples])
        axes.set_xlabel(style.with_unit(name, the_task.units[name]))
    figure.axes[0].set_ylabel("share per bin")
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure


def _values(table: Events, column: int) -> NDArray[np.float32]:
    return table.mass if column < 0 else table.features[:, column]


def _histogram(axes: Axes, samples: list[tuple[Any, ...]]) -> None:
    """Normalised histograms on common edges."""
    edges = np.histogram_bin_edges(np.concatenate([values for values, *_ in samples]), BINS)
    for values, colour, label, shaded in samples:
        share = np.histogram(values, edges)[0] / len(values)
        look = {"fill": shaded, "color": colour, "alpha": 0.6 if shaded else 1.0, "lw": 1.5}
        axes.stairs(share, edges, label=label, **look)
    axes.set_yticks([])
    style.from_zero(axes)


def _text(results: Results, scanned: bool) -> str:
    text = (
        "These methods model the signal itself: a fit to what the background leaves unexplained in the window. Each "
        "says by itself, without truth, whether it found anything: the likelihood of events that it did not train on "
        "must be 20 times that of background alone, or a scan's interval must exclude 0. The fraction "
        "is that of signal in the window's data."
    )
    if scanned:
        text += (
            " The scan's interval ends where the log-likelihood of all events, under models that have not seen them, "
            "has fallen by 1.92 (arXiv:2506.00119, with the drop of a 95 % interval). It contains 0 where the smallest "
            "fraction is no worse than that. Where the suite has validation windows, a second interval stands beside "
            "it: its line is lower by the most that the scan gains in these windows, without any signal, in any draw "
            "of the injection."
        )
    return text if results.suite.labelled else text + " Without labels nobody knows the truth."

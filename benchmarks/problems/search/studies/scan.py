"""The study of the window: cost, sensitivity and excess of a sliding scan."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sideband.benchmarks.metrics import sic
from sideband.benchmarks.metrics.excess import COMPLETE, DIRECT
from sideband.benchmarks.problems.search import closure, excess, labels
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.report import cost, style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.cost import Cost
from sideband.benchmarks.report.results import Results

LEAST_SIGNAL = 50  # events in a window whose SIC is drawn
LIMIT = 3.0  # on |Z| where there is no signal


def section(results: Results) -> Section | None:
    """Cost against the number of windows, numbers of each window, and the extremes of the excess."""
    if results.tasks.empty:
        return None
    windows = len(suites.regions(results.suite))
    text = (
        f"{windows} overlapping windows. A fit to all the data is made once and serves them all; a fit to the "
        "sidebands is made for each. Training is the background model's own fit; template drawing and classifiers are "
        f"needed for each window whatever the model, and come on top. SIC is drawn where at least {LEAST_SIGNAL} "
        "signal events lie in the window."
    )
    content: list[Table | Picture] = [
        Picture("scan_cost", "CPU seconds of training against the number of windows.", _cost(results)),
        _cost_table(results),
        Picture("scan_windows", "By the middle of the window.", _by_window(results)),
    ]
    extremes = _extremes(results)
    if extremes.rows:
        content.append(extremes)
    return "Scan", text, content


def _trained(results: Results) -> dict[str, Cost]:
    """The cost of each method that has a background model."""
    return {name: spent for name, spent in cost.costs(results).items() if spent.training(1)}


def _cost(results: Results) -> Figure:
    figure = Figure(figsize=(7.6, 4.0))
    axes = figure.subplots()
    numbers = range(1, len(suites.regions(results.suite)) + 1)
    for name, spent in _trained(results).items():
        colour, title = style.colour(name), style.title(name)
        axes.plot(numbers, [spent.training(n) for n in numbers], marker="o", color=colour, label=title)
        if spent.once:
            label = f"{title}, if it were trained for each window"
            axes.plot(numbers, [spent.anew(n) for n in numbers], ls=":", color=colour, label=label)
    axes.set_xlabel("windows")
    axes.set_ylabel("CPU seconds of training")
    axes.set_xticks(numbers)
    style.from_zero(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _cost_table(results: Results) -> Table:
    windows = len(suites.regions(results.suite))
    rows = []
    for name, spent in _trained(results).items():
        rows.append(
            [
                style.title(name),
                *(number(value) for value in (spent.once, spent.each, spent.training(windows))),
                number(spent.training(windows) / spent.anew(windows), 2),
                number(windows * spent.cell),
            ]
        )
    head = [
        "method",
        "once",
        "each window",
        f"{windows} windows",
        "of training anew",
        "templates, classifiers",
    ]
    return Table("CPU seconds of training, medians over injections and seeds.", head, rows)


def _by_window(results: Results) -> Figure:
    suite = results.suite
    edges = suite.windows()
    middles = {name: sum(edges[name] or (0.0, 0.0)) / 2 for name in suites.regions(suite)}
    injection = suite.timed()[0].injection
    panels = ["closure_auc", *(["sic_1e-3"] if suite.labelled else [])]
    figure = Figure(figsize=(5.2 * len(panels), 3.9))
    drawn = dict(zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True))
    tasks = results.tasks[results.tasks["injection"] == injection]
    for metric, axes in drawn.items():
        for name in suite["methods"]:
            points = []
            for window, middle in middles.items():
                signal = tasks[tasks["window"] == window]["signal_in_window"] if suite.labelled else pd.Series([np.inf])
                if metric == "sic_1e-3" and not signal.median() >= LEAST_SIGNAL:
                    continue
                band = sic.median_and_band(list(results.values(metric, name, injection, window).values()))
                points.append((middle, *band[:3]))
            x, median, low, high = np.array(points).T if points else np.empty((4, 0))
            if np.isfinite(median).any():
                look = {"color": style.colour(name), "marker": "o", "capsize": 2}
                axes.errorbar(x, median, [median - low, high - median], label=labels.title(results, name), **look)
        axes.set_xlabel(style.with_unit("middle of the window", results.mass_unit))
    drawn["closure_auc"].set_ylabel(f"closure AUC, {labels.injected(suite, injection)}")
    closure.draw_floor(results, drawn["closure_auc"])
    if "sic_1e-3" in drawn:
        where = labels.injected(suite, injection)
        drawn["sic_1e-3"].set_ylabel(f"SIC at background efficiency $10^{{-3}}$\n{where}")
        style.from_zero(drawn["sic_1e-3"])
    # Each panel may lack a method that the other has.
    handles = {
        label: handle
        for axes in drawn.values()
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _extremes(results: Results) -> Table:
    """Of each method and cut: the largest |Z| without signal, and where the largest Z is with signal."""
    rows = []
    rows_of_regions = results.numbers[results.numbers["window"].isin(suites.regions(results.suite))]
    complete = rows_of_regions["metric"].str.startswith(f"{COMPLETE}_").any()
    kind, errors = (COMPLETE, "errors with δ_sys") if complete else (DIRECT, excess.STATISTICAL)
    found = rows_of_regions[rows_of_regions["metric"].str.startswith(f"{kind}_")]
    injected = results.suite.injections()
    for (name, called), group in found.groupby(["method", "metric"], sort=False):
        empty = group[[injected[injection] == 0 for injection in group["injection"]]]
        full = group[[bool(injected[injection]) for injection in group["injection"]]]
        row = [style.title(str(name)), f"{float(str(called).removeprefix(f'{kind}_')):g}"]
        if len(empty):
            beyond = int((empty["value"].abs() >= LIMIT).sum())
            row += [
                number(empty["value"].abs().max()),
                f"{beyond} of {len(empty)}",
                f"{empty['value'].mean():+.2f} ± {empty['value'].std():.2f}",
            ]
        else:
            row += ["n/a"] * 3
        peaks = full.sort_values("value").groupby(["injection", "seed"], sort=False).tail(1)
        where = [
            f"{labels.window(results, str(window))} (Z = {number(value)}, {labels.injected(results.suite, injection)})"
            for window, value, injection in zip(peaks["window"], peaks["value"], peaks["injection"], strict=True)
        ]
        row.append("; ".join(where) or "n/a")
        rows.append(row)
    head = ["method", "cut", "largest |Z|, no signal", f"|Z| ≥ {LIMIT:g}", "mean ± deviation", "largest Z with signal"]
    caption = f"Cross-fitted excess over all windows and seeds, {errors}; overlapping windows share events."
    return Table(caption, head, rows)

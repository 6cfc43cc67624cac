"""The study of the window: cost, sensitivity and excess of a sliding scan."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sideband.benchmarks import catalogue
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.search import closure
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.results import Results

LEAST_SIGNAL = 50  # events in a window whose SIC is drawn
LIMIT = 3.0  # on |Z| where there is no signal


def section(results: Results) -> Section | None:
    """Cost against the number of windows, numbers of each window, and the extremes of the excess."""
    if results.tasks.empty:
        return None
    windows = len(results.suite.windows())
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


@dataclass(frozen=True)
class Cost:
    """CPU seconds of training of a method: once for all windows, and for each window; all of a cell's apart."""

    once: float
    each: float
    cell: float

    def of(self, windows: int) -> float:
        """The background model's seconds for a number of windows."""
        return self.once + windows * self.each

    def anew(self, windows: int) -> float:
        """The same, were all of it fitted for each window."""
        return windows * (self.once + self.each)


def costs(results: Results) -> dict[str, Cost]:
    """Training cost of each method that has a background model, medians over cells."""
    model, cell = (
        results.metric(name).groupby("method")["value"].median() for name in ("model_cpu_seconds", "fit_cpu_seconds")
    )
    found = {}
    for name in results.suite["methods"]:
        needs = [need for need in catalogue.get(name).needs if need in model]
        once = sum(float(model[need]) for need in needs if catalogue.get(need).everywhere)
        each = sum(float(model[need]) for need in needs if not catalogue.get(need).everywhere)
        own = float(model.get(name, 0.0))
        if once + each + own > 0:
            found[name] = Cost(once, each + own, float(cell.get(name, np.nan)) - own)
    return found


def _cost(results: Results) -> Figure:
    figure = Figure(figsize=(7.6, 4.0))
    axes = figure.subplots()
    numbers = range(1, len(results.suite.windows()) + 1)
    for name, cost in costs(results).items():
        colour, title = style.colour(name), style.title(name)
        axes.plot(numbers, [cost.of(n) for n in numbers], marker="o", color=colour, label=title)
        if cost.once:
            label = f"{title}, if it were trained for each window"
            axes.plot(numbers, [cost.anew(n) for n in numbers], ls=":", color=colour, label=label)
    axes.set_xlabel("windows")
    axes.set_ylabel("CPU seconds of training")
    axes.set_xticks(numbers)
    style.from_zero(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _cost_table(results: Results) -> Table:
    windows = len(results.suite.windows())
    rows = []
    for name, cost in costs(results).items():
        rows.append(
            [
                style.title(name),
                *(number(value) for value in (cost.once, cost.each, cost.of(windows))),
                number(cost.of(windows) / cost.anew(windows), 2),
                number(windows * cost.cell),
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
    middles = {name: sum(edges) / 2 for name, edges in suite.windows().items() if edges}
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
                axes.errorbar(x, median, [median - low, high - median], label=style.title(name), **look)
        axes.set_xlabel(style.with_unit("middle of the window", results.mass_unit))
    drawn["closure_auc"].set_ylabel(f"closure AUC, {injection}")
    closure.draw_floor(results, drawn["closure_auc"])
    if "sic_1e-3" in drawn:
        drawn["sic_1e-3"].set_ylabel(f"SIC at background efficiency $10^{{-3}}$, {injection}")
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
    found = results.numbers[results.numbers["metric"].str.startswith("excess_")]
    injected = results.suite.injections()
    for (name, metric), group in found.groupby(["method", "metric"], sort=False):
        empty = group[[injected[injection] == 0 for injection in group["injection"]]]
        full = group[[bool(injected[injection]) for injection in group["injection"]]]
        row = [style.title(str(name)), str(metric).removeprefix("excess_")]
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
            f"{window} (Z = {number(value)})" for window, value in zip(peaks["window"], peaks["value"], strict=True)
        ]
        row.append("; ".join(where) or "n/a")
        rows.append(row)
    head = ["method", "cut", "largest |Z|, no signal", f"|Z| ≥ {LIMIT:g}", "mean ± deviation", "largest Z with signal"]
    return Table("Cross-fitted excess over all windows and seeds; overlapping windows share events.", head, rows)

"""Sections of the report for suites that vary more than the method: signal strength, a setting, the window."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sideband.benchmarks import catalogue
from sideband.benchmarks.metrics import closure, sic
from sideband.benchmarks.problems.search import figures
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, banded, number
from sideband.benchmarks.report.results import Results
from sideband.infer import events

FEW_WINDOWS = 3  # of more, only the first is shown in detail
LEAST_SIGNAL = 50  # events in a window whose SIC is drawn
LIMIT = 3.0  # on |Z| where there is no signal


def sections(results: Results) -> Iterator[Section]:
    """The sections that a suite's grid has numbers for."""
    window = next(iter(results.suite.windows()))
    strengths = [name for name, injected in results.suite.injections().items() if injected]
    if len(strengths) >= 3 and len(results.tasks):
        text = (
            "The same methods on more and less signal. Draws of one seed share their background, so that methods are "
            "compared on the same events at every strength."
        )
        picture = Picture("strengths", f"Sensitivity against injected signal in {window}.", _strengths(results, window))
        yield "Signal strength", text, [picture]
    for (file, setting), lines in varied(results).items():
        title = catalogue.get(file).title
        text = (
            f"One setting of {title} is varied, all else is the same; the graphs share one fit. Seconds are those of a "
            "million template events, numpy to numpy, at the best batch and threads. Dashed: the same fit's other "
            "ways to make a template, with their usual settings."
        )
        found = _points(results, lines)
        if not any(np.isfinite(point.closure).any() for points in found.values() for point in points):
            continue
        caption = f"Closure, sensitivity and time against {setting}."
        drawn = Picture(f"varied_{file}_{setting}", caption, _varied(results, file, setting, found))
        yield f"{title}: {setting}", text, [drawn, _varied_table(setting, found)]
    if len(results.suite.windows()) > FEW_WINDOWS and len(results.tasks):
        yield _scan(results)


def without_varied(results: Results) -> Results:
    """The results less the entries that vary one setting: they have a section of their own, and would crowd others."""
    left_out = {name for lines in varied(results).values() for values in lines.values() for name in values}
    kept = {name: given for name, given in results.suite["methods"].items() if name not in left_out}
    suite = replace(results.suite, content={**results.suite.content, "methods": kept})
    timings, comparisons = (
        rows[rows["method"].isin(kept)] if len(rows) else rows for rows in (results.timings, results.comparisons)
    )
    return replace(results, suite=suite, timings=timings, comparisons=comparisons)


def weights(results: Results, window: str, injection: str) -> Figure | None:
    """Weights of the closure test for true background and template events, a line a template, of the first seed."""
    seed = next(iter(results.suite.seeds(injection)))
    figure = Figure(figsize=(8.6, 3.8))
    panels = figure.subplots(1, 2, sharey=True)
    drawn = False
    for name in results.suite["methods"]:
        path = results.folder / window / injection / seed / name / "evaluation.json"
        found = events.read_json(path)["closure"] if path.exists() else None
        if found is None:
            continue
        for axes, counts in zip(panels, found["weights"], strict=True):
            share = np.asarray(counts) / found["events"]
            axes.stairs(share, closure.WEIGHTS, color=figures.colour(name), lw=1.5, label=figures.title(name))
        drawn = True
    if not drawn:
        return None
    for axes, side in zip(panels, ("true background", "template events"), strict=True):
        axes.axvline(1, color="0.6", lw=1)
        axes.set_xscale("log")
        axes.set_xticks([0.25, 0.5, 1, 2, 4], ["≤ ¼", "½", "1", "2", "≥ 4"])
        axes.minorticks_off()
        axes.set_xlabel(f"weight true / template of {side}")
    panels[0].set_ylabel("share of held-out events")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


# Signal strength


def _strengths(results: Results, window: str) -> Figure:
    figure = Figure(figsize=(10.4, 4.2))
    panels = figure.subplots(1, 2)
    injections = [name for name, injected in results.suite.injections().items() if injected]
    tasks = results.tasks[results.tasks["window"] == window]
    achieved = tasks.groupby("injection")["significance"].median()
    injections = sorted((name for name in injections if name in achieved), key=lambda name: achieved[name])
    for axes, metric in zip(panels, ("sic_1e-3", "max_sic"), strict=True):
        for name in results.suite["methods"]:
            bands = [
                sic.median_and_band(list(results.values(metric, name, injection, window).values()))
                for injection in injections
            ]
            median, low, high = (np.array([band[index] for band in bands]) for index in range(3))
            x = [achieved[injection] for injection in injections]
            line = {"color": figures.colour(name), "ls": figures.stroke(name)}
            axes.plot(x, median, marker="o", label=figures.title(name), **line)
            axes.fill_between(x, low, high, color=figures.colour(name), alpha=0.15, lw=0)
        axes.set_xscale("log")
        axes.set_xticks([achieved[name] for name in injections], [f"{achieved[name]:.2g}" for name in injections])
        axes.minorticks_off()
        axes.set_xlabel("S/√B in the window")
        style.from_zero(axes)
    panels[0].set_ylabel("SIC at background efficiency $10^{-3}$")
    panels[1].set_ylabel("max SIC")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


# One setting


@dataclass(frozen=True)
class Point:
    """What was measured at one value of a varied setting, each draw by itself."""

    value: float  # NaN: not the varied entry, but the method with its usual settings
    closure: list[float]
    sic: list[float]
    seconds: list[float]  # a million template events
    signal_like: list[float]


def varied(results: Results) -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """Settings that labelled entries METHOD@LABEL vary alone: values by entry, by method, by (file, setting)."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for name in results.suite["methods"]:
        base, _, label = name.partition("@")
        given = results.suite.settings(name)
        if label and len(given) == 1 and isinstance(value := next(iter(given.values())), int | float):
            key = (catalogue.get(base).file or base, next(iter(given)))
            found.setdefault(key, {}).setdefault(base, {})[name] = float(value)
    return {key: lines for key, lines in found.items() if any(len(values) > 1 for values in lines.values())}


def _points(results: Results, lines: Mapping[str, Mapping[str, float]]) -> dict[str, list[Point]]:
    window, injection = next(iter(results.suite.windows())), results.suite.timed()[0].injection
    rates = figures.template_rates(results)

    def point(name: str, value: float) -> Point:
        def of(metric: str) -> list[float]:
            return list(results.values(metric, name, injection, window).values())

        seconds = [1e6 / rates[name]] if name in rates else [float("nan")]
        return Point(value, of("closure_auc"), of("sic_1e-3"), seconds, of("signal_like_auc"))

    found = {
        base: sorted((point(*item) for item in values.items()), key=lambda p: p.value) for base, values in lines.items()
    }
    files = {catalogue.get(base).file or base for base in lines}
    for name in results.suite["methods"]:
        if "@" not in name and (catalogue.get(name).file or name) in files:
            found.setdefault(name, []).append(point(name, float("nan")))
    return found


def _median(values: list[float]) -> float:
    return sic.median_and_band(values)[0]


def _varied(results: Results, file: str, setting: str, found: Mapping[str, list[Point]]) -> Figure:
    every = [point for points in found.values() for point in points]
    labels = {
        "closure": "closure AUC",
        "sic": "SIC at background efficiency $10^{-3}$",
        "seconds": "seconds a million events",
        "signal_like": "AUC, template events that were signal\nagainst background",
    }
    shown = [what for what in labels if np.isfinite([_median(getattr(point, what)) for point in every]).any()]
    figure = Figure(figsize=(0.8 + 3.4 * len(shown), 3.8))
    panels: dict[str, Axes] = dict(zip(shown, figure.subplots(1, len(shown), squeeze=False)[0], strict=True))
    for base, points in found.items():
        for what, axes in panels.items():
            y = [_median(getattr(point, what)) for point in points]
            if np.isfinite(points[0].value):
                x = [point.value for point in points if np.isfinite(point.value)]
                axes.plot(x, y[: len(x)], marker="o", color=figures.colour(base), label=figures.title(base))
            for point, height in zip(points, y, strict=True):
                if not np.isfinite(point.value) and np.isfinite(height) and what != "signal_like":
                    label = None if np.isfinite(points[0].value) else figures.title(base)
                    axes.axhline(height, color=figures.colour(base), ls="--", lw=1, label=label)
    values = sorted({point.value for point in every if np.isfinite(point.value)})
    for what, axes in panels.items():
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set_xlabel(f"{setting} of {catalogue.get(file).title.split()[0]}")
        axes.set_ylabel(labels[what])
    if "closure" in panels:
        _floor(results, panels["closure"])
    if "seconds" in panels:
        panels["seconds"].set_yscale("log")
    figure.legend(*panels[shown[0]].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _floor(results: Results, axes: Axes) -> None:
    floor = results.metric("closure_floor")
    if len(floor):
        axes.axhspan(floor["low"].min(), floor["high"].max(), color="0.7", alpha=0.5, lw=0, label="truth against truth")


def _varied_table(setting: str, found: Mapping[str, list[Point]]) -> Table:
    rows = [
        [
            figures.title(base),
            f"{point.value:g}" if np.isfinite(point.value) else "usual",
            banded(point.closure, 4),
            banded(point.sic),
            number(_median(point.seconds)),
            banded(point.signal_like),
        ]
        for base, points in found.items()
        for point in points
    ]
    head = ["method", setting, "closure AUC", "SIC at 10⁻³", "seconds a million events", "signal-like AUC"]
    if all(row[-1] == "n/a" for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return Table(f"Against {setting}.", head, rows)


# The window


def _scan(results: Results) -> Section:
    suite = results.suite
    windows = len(suite.windows())
    text = (
        f"{windows} overlapping windows. A fit to all the data is made once and serves them all; a fit to the "
        "sidebands is made for each. Training is the background model's own fit; template drawing and classifiers are "
        f"needed for each window whatever the model, and come on top. SIC is drawn where at least {LEAST_SIGNAL} "
        "signal events lie in the window."
    )
    content: list[Table | Picture] = [
        Picture("scan_cost", "CPU seconds of training against the number of windows.", _scan_cost(results)),
        _scan_cost_table(results),
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


def scan_costs(results: Results) -> dict[str, Cost]:
    """Training cost of each method that has a background model, medians over cells."""
    model, whole = (
        results.metric(name).groupby("method")["value"].median() for name in ("model_cpu_seconds", "fit_cpu_seconds")
    )
    costs = {}
    for name in results.suite["methods"]:
        needs = [need for need in catalogue.get(name).needs if need in model]
        once = sum(float(model[need]) for need in needs if catalogue.get(need).everywhere)
        each = sum(float(model[need]) for need in needs if not catalogue.get(need).everywhere)
        own = float(model.get(name, 0.0))
        if once + each + own > 0:
            costs[name] = Cost(once, each + own, float(whole.get(name, np.nan)) - own)
    return costs


def _scan_cost(results: Results) -> Figure:
    figure = Figure(figsize=(7.6, 4.0))
    axes = figure.subplots()
    numbers = range(1, len(results.suite.windows()) + 1)
    for name, cost in scan_costs(results).items():
        colour, title = figures.colour(name), figures.title(name)
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


def _scan_cost_table(results: Results) -> Table:
    windows = len(results.suite.windows())
    rows = []
    for name, cost in scan_costs(results).items():
        rows.append(
            [
                figures.title(name),
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
                style_ = {"color": figures.colour(name), "marker": "o", "capsize": 2}
                axes.errorbar(x, median, [median - low, high - median], label=figures.title(name), **style_)
        axes.set_xlabel(style.with_unit("middle of the window", results.mass_unit))
    drawn["closure_auc"].set_ylabel(f"closure AUC, {injection}")
    _floor(results, drawn["closure_auc"])
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
        row = [figures.title(str(name)), str(metric).removeprefix("excess_")]
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
        told = [
            f"{window} (Z = {number(value)})" for window, value in zip(peaks["window"], peaks["value"], strict=True)
        ]
        row.append("; ".join(told) or "n/a")
        rows.append(row)
    head = ["method", "cut", "largest |Z|, no signal", f"|Z| ≥ {LIMIT:g}", "mean ± deviation", "largest Z with signal"]
    return Table("Cross-fitted excess over all windows and seeds; overlapping windows share events.", head, rows)

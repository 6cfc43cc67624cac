"""The study of a setting: closure, sensitivity and time against its values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid.study import Study
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.search import closure
from sideband.benchmarks.report import speed, style
from sideband.benchmarks.report.content import Picture, Section, Table, banded, number
from sideband.benchmarks.report.results import Results

LABELS = {
    "closure": "closure AUC",
    "sic": "SIC at background efficiency $10^{-3}$",
    "seconds": "seconds a million events",
    "signal_like": "AUC, template events that were signal\nagainst background",
}


@dataclass(frozen=True)
class Point:
    """What was measured at one value of a varied setting, each draw by itself."""

    value: float  # NaN: the method with its usual settings
    closure: list[float]
    sic: list[float]
    seconds: list[float]  # a million template events
    signal_like: list[float]


def section(results: Results, study: Study) -> Section | None:
    """One setting of one method file varied, all else the same; None before any of it has a closure test."""
    found = _points(results, study)
    if not any(np.isfinite(point.closure).any() for points in found.values() for point in points):
        return None
    file = _file(study.of[0])
    title = catalogue.get(file).title
    text = (
        f"One setting of {title} is varied, all else is the same; the graphs share one fit. Seconds are those of a "
        "million template events, numpy to numpy, at the best batch and threads. Dashed: methods that do not vary, "
        "with their usual settings, in the draws in which the setting varies."
    )
    caption = f"Closure, sensitivity and time against {study.vary}."
    drawn = Picture(f"varied_{file}_{study.vary}", caption, _figure(results, study, found))
    return f"{title}: {study.vary}", text, [drawn, _table(study.vary, found)]


def _file(method: str) -> str:
    """The method file of an entry, which is also the name of that file's first entry."""
    return catalogue.get(method).file or method.partition("@")[0]


def _points(results: Results, study: Study) -> dict[str, list[Point]]:
    """What was measured at each value of the setting, by method; methods of the same file, and those beside, too."""
    window, injection = next(iter(results.suite.windows())), results.suite.timed()[0].injection
    rates, lines = speed.template_rates(results), study.entries(results.suite["methods"])
    varied = [results.values("closure_auc", name, injection, window) for values in lines.values() for name in values]
    draws = {seed for seed in results.suite.seeds(injection) if any(np.isfinite(each[seed]) for each in varied)}

    def point(name: str, value: float) -> Point:
        def of(metric: str) -> list[float]:
            # What does not vary may have been run in more draws, whose median would be another's.
            return [each for seed, each in results.values(metric, name, injection, window).items() if seed in draws]

        seconds = [1e6 / rates[name]] if name in rates else [float("nan")]
        return Point(value, of("closure_auc"), of("sic_1e-3"), seconds, of("signal_like_auc"))

    found = {
        base: sorted((point(*item) for item in values.items()), key=lambda p: p.value) for base, values in lines.items()
    }
    files = {_file(base) for base in lines}
    for name in results.suite["methods"]:
        if ("@" not in name and _file(name) in files) or name in study.beside:
            found.setdefault(name, []).append(point(name, float("nan")))
    return found


def _median(values: list[float]) -> float:
    return sic.median_and_band(values)[0]


def _figure(results: Results, study: Study, found: Mapping[str, list[Point]]) -> Figure:
    every = [point for points in found.values() for point in points]
    shown = [what for what in LABELS if np.isfinite([_median(getattr(point, what)) for point in every]).any()]
    figure = Figure(figsize=(0.8 + 3.4 * len(shown), 3.8))
    panels: dict[str, Axes] = dict(zip(shown, figure.subplots(1, len(shown), squeeze=False)[0], strict=True))
    values = sorted({point.value for point in every if np.isfinite(point.value)})
    for what, axes in panels.items():
        for base, points in found.items():
            _draw(axes, what, base, points)
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set_xlabel(f"{study.vary} of {catalogue.get(_file(study.of[0])).title.split()[0]}")
        axes.set_ylabel(LABELS[what])
    if "closure" in panels:
        closure.draw_floor(results, panels["closure"])
    if "seconds" in panels:
        panels["seconds"].set_yscale("log")
    figure.legend(*panels[shown[0]].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _draw(axes: Axes, what: str, base: str, points: list[Point]) -> None:
    """Draw one quantity of a method: a line over the values of its setting, and a dashed level for its usual ones."""
    heights = {point.value: _median(getattr(point, what)) for point in points}
    varied = [value for value in heights if np.isfinite(value)]
    if varied:
        axes.plot(
            varied, [heights[value] for value in varied], marker="o", color=style.colour(base), label=style.title(base)
        )
    for point in points:
        height = _median(getattr(point, what))
        if not np.isfinite(point.value) and np.isfinite(height) and what != "signal_like":
            axes.axhline(height, color=style.colour(base), ls="--", lw=1, label=None if varied else style.title(base))


def _table(setting: str, found: Mapping[str, list[Point]]) -> Table:
    rows = [
        [
            style.title(base),
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

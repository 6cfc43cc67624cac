"""The figure of a search: the data's mass spectrum before and after each cut, with what the template expects."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture
from sideband.benchmarks.report.results import Results
from sideband.infer import events
from sideband.infer.errors import BadInput

COLUMNS = 3  # of panels
LEAST = 0.3  # events, where the axes begin
PULLS = 5  # where their axes end at least
LIGHTER = 0.7  # of each cut than of the next tighter one

Found = dict[str, dict[str, Any]]  # the record of each method


def picture(results: Results, window: str) -> Picture | None:
    """Spectra of every method with an excess, at the largest injection, first seed; None if there are none."""
    injection = results.suite.timed()[0].injection
    seed = next(iter(results.suite.seeds(injection)))
    found: Found = {}
    for name in results.suite["methods"]:
        path = results.folder / window / injection / seed / name / "evaluation.json"
        record = events.read_json(path).get("spectra") if path.exists() else None
        if record is not None:
            bins = {len(cut[key]) for cut in record["cuts"] for key in ("observed", "expected", "error")}
            if bins != {len(record["edges"]) - 1}:
                raise BadInput(f"{path}: spectra: not as many bins as edges; remove the file, and run the suite again")
            found[name] = record
    if not found:
        return None
    place = f"{labels.window(results, window)}, {labels.injected(results.suite, injection)}, {seed}"
    caption = (
        f"Mass of the data before any cut and above each one (points), {place}. Steps: what the template expects in "
        "the window (shaded), with its statistical error. ε is the part of the template that passes. Below, by how "
        "many standard deviations, without δ_sys, each bin above a cut differs from that (band: ± 2)."
    )
    return Picture(f"spectra_{window}", caption, _figure(found, results.suite.windows()[window], results.mass_unit))


def _figure(found: Found, window: tuple[float, float] | None, unit: str) -> Figure:
    figure, tops, bottoms = style.with_pulls(len(found), COLUMNS, (3.6, 3.8))
    for top, bottom, (name, record) in zip(tops.flat, bottoms.flat, found.items(), strict=False):
        edges, cuts = np.asarray(record["edges"], float), record["cuts"]
        named = {}
        for place, cut in enumerate(cuts):
            label = "before any cut" if cut["efficiency"] == 1 else f"ε = {cut['efficiency']:g}"
            colour = _lighter(style.colour(name), len(cuts) - 1 - place)
            named[label] = _spectrum(top, bottom, edges, cut, colour, f"{style.title(name)}, {label}")
        top.legend(named.values(), named.keys(), fontsize=7, frameon=False, loc="upper right")
        top.set_yscale("log")
        top.set_title(style.title(name), fontsize=9)
        bottom.axhspan(-2, 2, color="0.93", zorder=0)
        if window is not None:
            for axes in (top, bottom):
                axes.axvspan(*window, color="0.9", zorder=-1)
    first, second, *_ = next(iter(found.values()))["edges"]  # all methods have the same data
    for top, bottom in zip(tops[:, 0], bottoms[:, 0], strict=True):
        top.set_ylim(bottom=LEAST)
        top.set_ylabel(f"events / {style.plain(f'{second - first:.3g} {unit}'.rstrip())}", fontsize=9)
        bottom.set_ylim(min(-PULLS, bottom.get_ylim()[0]), max(PULLS, bottom.get_ylim()[1]))
    figure.supxlabel(style.with_unit("mass", unit), fontsize=10)
    return figure


def _spectrum(
    top: Axes, bottom: Axes, edges: NDArray[np.float64], cut: dict[str, Any], colour: Any, label: str
) -> ErrorbarContainer:
    """One cut: points of the data, which are returned, steps of the template, and pulls in the window."""
    observed, expected, error = (np.asarray(cut[key], float) for key in ("observed", "expected", "error"))
    centres, some, inside = (edges[:-1] + edges[1:]) / 2, observed > 0, expected > 0
    counts = observed[some]
    look = {"fmt": ".", "ms": 3, "lw": 0.8, "color": colour, "label": f"_{label}"}
    points = top.errorbar(centres[some], counts, np.sqrt(counts), **look)
    template = np.where(inside, expected, np.nan)
    top.stairs(template, edges, color=colour, lw=1.3, label=f"_{label}, template", baseline=None)
    low, high = (np.where(inside, np.maximum(expected + sign * error, 1e-9), np.nan) for sign in (-1, 1))
    top.fill_between(np.repeat(edges, 2)[1:-1], np.repeat(low, 2), np.repeat(high, 2), color=colour, alpha=0.25, lw=0)
    if cut["efficiency"] < 1:  # else the template has the data's masses
        pulls = (observed - expected)[inside] / np.sqrt(expected + error**2)[inside]
        bottom.plot(centres[inside], pulls, ".", ms=4, color=colour, label=f"_{label}")
    return points


def _lighter(colour: str, steps: int) -> tuple[float, ...]:
    return tuple(1 - (1 - part) * LIGHTER**steps for part in to_rgb(colour))

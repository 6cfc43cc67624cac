"""The report's section on the excess: validation windows first, then signal regions with the errors that those give."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sideband.benchmarks.metrics import excess as metric
from sideband.benchmarks.problems.search import labels, spectra
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.results import Results

COUNTS = ("observed", "expected")
KINDS = (*COUNTS, metric.DIRECT, "systematic", metric.COMPLETE)
STATISTICAL = "statistical errors only; may be all template"


def section(results: Results) -> Section | None:
    """Excess of every template; None if there is none."""
    drawn = figure(results)
    if drawn is None:
        return None
    text = (
        "Excess of the window's data over the template above a cut on cross-fitted scores. A classifier that did not "
        "see an event scores it, whether it is from the data or from the template. The template's statistics are part "
        "of the error (arXiv:2411.00085). Methods without a template have no excess. "
    )
    if suites.validation(results.suite):
        text += (
            "Validation windows lie beside the signal region in the same data and hold hardly any signal, so what a "
            "template misses there is its own fault. The root mean square of its relative excess there, too many or "
            "too few, is δ_sys, by method, cut and injection. Where its statistical error is larger, δ_sys is raised "
            "to that. The error of an expectation b from a template with n events above the cut is b √(1/n + δ_sys²). "
            "A few windows cannot say how large δ_sys may be, so p then has the tails of Student's t, and Z is smaller."
        )
    else:
        text += (
            "The suite has no validation windows, so nobody has measured how wrong the templates are: all errors are "
            "statistical, and any excess may be all template. `validation_windows` in the suite would tell."
        )
    tables = [table for table in (validation(results), regions(results)) if table.rows]
    caption = "Excess by window and method. Band: |Z| < 3. Open: statistical errors only. Filled: with δ_sys."
    shown = [
        picture
        for window in labels.ordered(results.suite, suites.regions(results.suite))
        if (picture := spectra.picture(results, window))
    ]
    return "Excess", text, [Picture("excess", caption, drawn), *tables, *shown]


def validation(results: Results) -> Table:
    """δ_sys of every template and cut, with what it was measured from."""
    windows = suites.validation(results.suite)
    rows = []
    for place, name, cut, found in _groups(results):
        cells = found[found["window"].isin(windows)]
        if len(cells):
            delta, error = metric.systematic(zip(cells["observed"], cells["expected"], cells["error"], strict=True))
            ends = [number(cells[metric.DIRECT].agg(end)) for end in ("min", "max")]
            row = [labels.count(results.suite, place), name, cut, f"{delta:.3f} ± {error:.3f}"]
            rows.append([*row, *ends, str(len(cells))])
    named = ", ".join(labels.window(results, window) for window in labels.ordered(results.suite, windows))
    head = [labels.INJECTED, "method", "template efficiency", "δ_sys ± statistical", "smallest Z, statistical"]
    caption = f"Validation windows {named}: root mean square relative excess of the data."
    return Table(caption, [*head, "largest Z, statistical", "cells"], rows)


def regions(results: Results) -> Table:
    """Excess in the signal regions: events, Z, p, and which errors these contain."""
    rows = []
    for place, name, cut, found in _groups(results):
        for window in labels.ordered(results.suite, suites.regions(results.suite)):
            cells = found[found["window"] == window]
            if len(cells):
                row = [labels.window(results, window), labels.count(results.suite, place), name, cut]
                rows.append([*row, *_summary(cells, results.suite.seeds(place))])
    head = ["window", labels.INJECTED, "method", "template efficiency", "observed", "expected", "statistical Z"]
    caption = (
        "Signal regions: excess above each cut; medians of the draws with their band. "
        "p: one-sided, of the median Z; Z and p contain the errors named beside them."
    )
    return Table(caption, [*head, "Z", "p", "errors"], rows)


def brief(results: Results) -> Table:
    """The excess in the signal regions for a terminal, without labels: window, method, cut, counts, Z, p and δ_sys."""
    full = regions(results)
    rows = [
        [window, method, cut, observed, expected, z, p, errors.partition("δ_sys = ")[2] or "none"]
        for window, _, method, cut, observed, expected, _, z, p, errors in full.rows
    ]
    head = ["window", "method", "ε", "observed", "expected", "Z", "p", "δ_sys"]
    caption = (
        "Excess in the signal regions, above cuts that pass ε of the template; without δ_sys, Z is statistical alone."
    )
    return Table(caption, head, rows)


def _summary(cells: pd.DataFrame, seeds: dict[str, int]) -> list[str]:
    """Counts, significances and errors of the draws of one cut."""
    of_seed = cells.set_index("seed").reindex(list(seeds))
    counts = [labels.spread(of_seed[what].tolist()) for what in COUNTS]
    if len(of_seed) == 1:
        counts[0] = f"{of_seed['observed'].iloc[0]:,.0f}"
        counts[1] += f" ± {number(float(of_seed['error'].iloc[0]))}"
    measured = of_seed["systematic"].dropna()
    z = of_seed[metric.COMPLETE if len(measured) else metric.DIRECT]
    errors = f"statistical, δ_sys = {measured.iloc[0]:.3f}" if len(measured) else STATISTICAL
    probability = f"{metric.probability(float(z.median())):.2g}" if z.notna().any() else "n/a"
    return [*counts, labels.spread(of_seed[metric.DIRECT].tolist()), labels.spread(z.tolist()), probability, errors]


def _groups(results: Results) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """The cells of each injection, method and cut: injection, title and cut, and a frame with the columns `KINDS`."""
    cells = _cells(results)
    for injection in results.suite.injections():
        for name in results.suite["methods"]:
            of_method = cells[(cells["injection"] == injection) & (cells["method"] == name)]
            for cut, found in of_method.groupby("cut", sort=False):
                yield injection, style.title(name), str(cut), found


def _cells(results: Results) -> pd.DataFrame:
    """One row a cell and cut, with the columns `KINDS` and the expectation's statistical error."""
    rows = results.numbers[["window", "injection", "seed", "method", "metric", "value", "high"]]
    kind, cut = ([str(name).rpartition("_")[place] for name in rows["metric"]] for place in (0, 2))
    rows = rows.assign(kind=kind, cut=cut)
    rows = rows[rows["kind"].isin(KINDS)]
    rows["cut"] = [f"{float(cut):g}" for cut in rows["cut"]]
    index = ["window", "injection", "seed", "method", "cut"]
    table = rows.pivot_table(index=index, columns="kind", values="value", sort=False).reindex(columns=list(KINDS))
    expected = rows[rows["kind"] == "expected"].set_index(index)
    return table.assign(error=expected["high"] - expected["value"]).reset_index()


def figure(results: Results) -> Figure | None:
    """The excess of each window, by method; validation windows at the left."""
    cells = _cells(results)
    if cells.empty:
        return None
    suite = results.suite
    validated, names = suites.validation(suite), results.methods(cells)
    windows = [*labels.ordered(suite, validated), *labels.ordered(suite, suites.regions(suite))]
    cuts = sorted(cells["cut"].unique(), key=float, reverse=True)
    injections = [name for name in suite.injections() if name in set(cells["injection"])]
    drawn = Figure(figsize=(1.6 + 5.2 * len(cuts), 1.4 + 2.8 * len(injections)))
    panels = drawn.subplots(len(injections), len(cuts), sharex=True, sharey="row", squeeze=False)
    for line, injection in zip(panels, injections, strict=True):
        for axes, cut in zip(line, cuts, strict=True):
            chosen = cells[(cells["cut"] == cut) & (cells["injection"] == injection)]
            for place, name in enumerate(names):
                beside = 0.6 * (place - (len(names) - 1) / 2) / len(names)
                _points(axes, chosen[chosen["method"] == name], windows, beside, name)
            axes.axhspan(-3, 3, color="0.93", zorder=0)
            if validated:
                axes.axvline(len(validated) - 0.5, color="0.6", lw=1)
            marked = [labels.window(results, name) + "\n(validation)" * (name in validated) for name in windows]
            axes.set_xticks(range(len(windows)), marked, rotation=30, ha="right")
            axes.set_xlim(-0.5, len(windows) - 0.5)
            axes.set_title(f"{labels.injected(suite, injection)}, cut at template efficiency {cut}", fontsize=10)
        line[0].set_ylabel("excess Z")
    drawn.supxlabel("window", fontsize=10)
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return drawn


def _points(axes: Axes, cells: pd.DataFrame, windows: list[str], beside: float, method: str) -> None:
    """Open points with statistical errors alone, filled ones with all."""
    x = np.array([windows.index(window) + beside for window in cells["window"]])
    colour = style.colour(method)
    axes.plot(x, cells[metric.DIRECT], "o", ms=4, color=colour, mfc="none", label=style.title(method))
    axes.plot(x, cells[metric.COMPLETE], "o", ms=4, color=colour, label=f"_{style.title(method)}, with δ_sys")

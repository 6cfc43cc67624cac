"""The report's section on sculpting: how far a cut on each score shapes the background's mass spectrum."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks.metrics import sculpting as metric
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, banded
from sideband.benchmarks.report.results import Results
from sideband.infer import events

TABULATED = (0.2, 0.05, 0.01, 0.001)  # efficiencies in the table
COLUMNS = 4  # of panels with spectra
PULLS = 5  # where their axes end

Found = dict[str, list[dict[str, Any]]]  # the records of all seeds, by method
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)  # of χ²/ndof


def section(results: Results) -> Section | None:
    """Table and figures of the first window, at the smallest injection that has any; None if none has."""
    window = suites.regions(results.suite)[0]
    injections = results.suite.injections()
    for injection in sorted(injections, key=lambda name: injections[name] or 0):
        found = _records(results, window, injection)
        if found:
            break
    else:
        return None
    place = f"{labels.window(results, window)}, {labels.injected(results.suite, injection)}"
    content: list[Table | Picture] = [
        Picture(
            "sculpting", f"χ²/ndof of the mass spectrum after a cut, {place}. Grey: random selections.", _chi2(found)
        ),
        _table(found, f"{place}: χ²/ndof of the mass spectrum at each background efficiency ε."),
        Picture(
            "sculpting_spectra",
            f"Mass of test background before any cut (grey) and after one that passes {metric.SHOWN:.0%} of the window "
            f"(colour), {place}, first seed; the window is shaded. Below, by how many standard deviations each bin "
            f"differs from a random selection of as many events (band: ± 2; axes end at ± {PULLS}).",
            _spectra(found, results.suite.windows()[window], results.mass_unit),
        ),
    ]
    return "Sculpting", _text(found, injections[injection] or 0, results.mass_unit), content


def _records(results: Results, window: str, injection: str) -> Found:
    found: Found = {}
    for name in results.suite["methods"]:
        for seed in results.suite.seeds(injection):
            path = results.folder / window / injection / seed / name / "evaluation.json"
            record = events.read_json(path).get("sculpting") if path.exists() else None
            if record is not None:
                found.setdefault(name, []).append(record)
    return found


def _text(found: Found, injected: int, unit: str) -> str:
    edges = next(iter(found.values()))[0]["edges"]
    reach = f"{edges[0]:.3g} to {edges[-1]:.3g} {unit}".rstrip()
    bins = {
        efficiency: [number for some in found.values() for record in some if (number := record["bins"][place])]
        for place, efficiency in enumerate(metric.EFFICIENCIES)
        if efficiency in TABULATED
    }
    fewer = [f"{min(some)} or more at ε = {at:g}" for at, some in bins.items() if some and min(some) < metric.BINS]
    used = f" ({', '.join(fewer)})" if fewer else ""
    text = (
        "A score sculpts if a cut on it changes the shape of the background's mass spectrum, which can fake or hide a "
        "bump. Thresholds are those that pass a fraction ε of the test background in the window. They are applied to "
        f"test background of all masses ({reach}), and the normalised spectrum after the cut is compared with the one "
        f"before, in {metric.BINS} bins with equal numbers of events, or in fewer where fewer than "
        f"{metric.LEAST_EXPECTED} events per bin would pass{used}. The variance is that of a subset of the events "
        "before the cut, so a random selection of as many events has an expected χ²/ndof of 1 (arXiv:2210.14924, with "
        "the finite selection in the variance)."
    )
    if injected:
        text += " The data of these fits contain signal; only background events enter the spectra."
    return text


def _table(found: Found, caption: str) -> Table:
    places = [metric.EFFICIENCIES.index(efficiency) for efficiency in TABULATED]
    rows = []
    for name, some in found.items():
        values = ([record[key][place] for record in some] for place in places for key in ("chi2", "random"))
        rows.append([style.title(name), *(banded([_value(each) for each in column]) for column in values)])
    head = ["method", *(name for efficiency in TABULATED for name in (f"ε = {efficiency:g}", "random"))]
    return Table(caption, head, rows)


def _chi2(found: Found) -> Figure:
    figure = Figure(figsize=(7.8, 4.4))
    axes = figure.subplots()
    everything = [record for some in found.values() for record in some]
    _, low, high = _bands(everything, "random")
    axes.fill_between(metric.EFFICIENCIES, low, high, color="0.7", alpha=0.6, lw=0, label="random selection")
    axes.axhline(1, color="0.5", lw=1)
    for name, some in found.items():
        median, low, high = _bands(some, "chi2")
        axes.plot(metric.EFFICIENCIES, median, marker="o", ms=4, label=style.title(name), **style.line(name))
        axes.fill_between(metric.EFFICIENCIES, low, high, color=style.colour(name), alpha=0.15, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(metric.EFFICIENCIES, [f"{efficiency:g}" for efficiency in metric.EFFICIENCIES])
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.set_xlabel("background efficiency $\\epsilon$ in the window")
    axes.set_ylabel("$\\chi^2$ / ndof of the mass spectrum")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _bands(some: list[dict[str, Any]], key: str) -> NDArray[np.float64]:
    """Median, low and high over records `[3, efficiencies]`; NaN where no record has a value."""
    columns = zip(*(record[key] for record in some), strict=True)
    return np.transpose([sic.median_and_band([_value(each) for each in column])[:3] for column in columns])


def _value(value: float | None) -> float:
    return float("nan") if value is None else value


def _spectra(found: Found, window: tuple[float, float] | None, unit: str) -> Figure:
    figure, tops, bottoms = style.with_pulls(len(found), COLUMNS, (2.7, 3.0))
    for top, bottom, (name, some) in zip(tops.flat, bottoms.flat, found.items(), strict=False):
        before, after, edges = (np.asarray(some[0][key], float) for key in ("before", "after", "edges"))
        colour, title = style.colour(name), style.title(name)
        top.stairs(_density(before, edges), edges, color="0.3", fill=True, alpha=0.25, label="_before any cut")
        top.stairs(_density(after, edges), edges, color=colour, lw=1.3, label=f"_{title}, after the cut")
        bottom.stairs(metric.pulls(before, after), edges, color=colour, fill=True, label=f"_{title}")
        bottom.axhspan(-2, 2, color="0.9", zorder=0)
        bottom.set_ylim(-PULLS, PULLS)
        if window is not None:
            top.axvspan(*window, color="0.9", zorder=0)
        top.set_yscale("log")
        top.set_title(title, fontsize=9)
    ends = [end for axes in tops[:, 0] for end in axes.get_ylim()]
    for top in tops[:, 0]:
        top.set_ylim(min(ends), max(ends))
        top.set_ylabel(style.with_unit("density", f"1/{unit}" if unit else ""), fontsize=9)
    figure.supxlabel(style.with_unit("mass", unit), fontsize=10)
    return figure


def _density(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts / max(counts.sum(), 1e-300) / np.diff(edges)

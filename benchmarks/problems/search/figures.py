"""Figures of the report."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.report import style
from sideband.benchmarks.report.results import Results
from sideband.infer import events

# One colour a method everywhere, references in greys. Methods for showers never meet the others.
_GREYS = {"iad": "0.15", "supervised": "0.45", "cwola": "0.65"}
_GREYS |= {"shower_supervised": "0.15", "shower_supervised_light": "0.55"}


def colour(method: str) -> object:
    """The colour of a method in every figure."""
    method = method.partition("@")[0]
    if method in _GREYS:
        return _GREYS[method]
    kind = catalogue.get(method).showers
    alike = [name for name, entry in catalogue.CATALOGUE.items() if entry.showers == kind and not entry.shared]
    names = [name for name in alike if name not in _GREYS]
    return style.PALETTE[names.index(method) % len(style.PALETTE)]


def stroke(method: str) -> str:
    """The line of a method: those of variants are dashed."""
    return "--" if catalogue.get(method).file else "-"


def title(method: str) -> str:
    """What figures call a method."""
    return catalogue.get(method).title


def headline(results: Results, injection: str, window: str) -> Figure:
    """Sensitivity against template throughput, one point a method; methods without a generator stand aside."""
    figure = Figure(figsize=(8.2, 4.8))
    aside, main = figure.subplots(1, 2, sharey=True, width_ratios=(1, 3.2))
    rates = template_rates(results)
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
            color=colour(name),
            capsize=4,
            markersize=8,
            label=title(name),
        )
    main.set_xscale("log")
    if main.get_legend_handles_labels()[0]:
        main.legend(fontsize=9, frameon=False, loc="lower right")
    if rates:
        decades = np.log10([*rates.values()])
        main.set_xlim(10 ** np.floor(decades.min() - 0.1), 10 ** np.ceil(decades.max() + 0.1))
    main.set_xlabel("template events per second (all cores, host to host)")
    aside.set_xticks(range(len(without)), [title(name) for name in without], rotation=40, ha="right", fontsize=8.5)
    aside.set_xlim(-0.6, len(without) - 0.4)
    aside.set_xlabel("no generator")
    aside.set_ylabel("SIC at background efficiency $10^{-3}$")
    style.from_zero(aside)
    draws = len(results.suite.seeds(injection))
    _, _, _, band = sic.median_and_band([0.0] * draws)
    said = f"Median and {band} of {draws} draws" if draws > 1 else "One draw"
    figure.suptitle(f"{said}, {_injected(results, injection, window)}", fontsize=10)
    return figure


def template_rates(results: Results) -> dict[str, float]:
    """Template events per second of each method that has a generator: host to host, best batch and threads."""
    if results.timings.empty:
        return {}
    rows = results.timings[(results.timings["role"] == "template") & (results.timings["scope"] == "host")]
    return {str(name): float(rate) for name, rate in rows.groupby("method")["events_per_second"].max().items()}


def _injected(results: Results, injection: str, window: str) -> str:
    rows = results.tasks[(results.tasks["injection"] == injection) & (results.tasks["window"] == window)]
    if "significance" not in rows or rows.empty:
        return "no injection"
    return f"S/√B = {rows['significance'].median():.2g} in {window}"


def sic_curves(results: Results, window: str) -> Figure:
    """SIC against background efficiency: every run thin, the median of each method thick; one panel an injection."""
    injections = list(results.suite.injections())
    figure = Figure(figsize=(5.4 * len(injections), 4.6))
    panels = figure.subplots(1, len(injections), sharey=False, squeeze=False)[0]
    for axes, injection in zip(panels, injections, strict=True):
        _sic_axes(axes)
        for name in results.suite["methods"]:
            rows = results.curves
            rows = rows[(rows["method"] == name) & (rows["injection"] == injection) & (rows["window"] == window)]
            if rows.empty:
                continue
            for _, run in rows.groupby("seed"):
                axes.plot(run["background_efficiency"], run["sic"], color=colour(name), lw=0.6, alpha=0.4)
            median = rows.groupby("background_efficiency")["sic"].median()
            axes.plot(median.index, median, color=colour(name), lw=2, label=title(name))
        axes.set_title(f"{injection}: {_injected(results, injection, window)}", fontsize=10)
    panels[-1].legend(fontsize=8, frameon=False)
    return figure


def _sic_axes(axes: Axes) -> None:
    efficiency = np.geomspace(1e-4, 1, 50)
    axes.plot(efficiency, np.sqrt(efficiency), color="0.8", ls=":", label="random")
    axes.axvline(sic.WORKING_POINT, color="0.85", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("background efficiency $\\epsilon_B$")
    axes.set_ylabel("SIC $= \\epsilon_S / \\sqrt{\\epsilon_B}$")
    axes.set_xlim(3e-4, 1)


def closure_overview(results: Results, window: str) -> Figure | None:
    """Closure AUC of every template, with the floor (truth against truth) and the raw sidebands."""
    rows = results.metric("closure_auc")
    rows = rows[rows["window"] == window]
    if rows.empty:
        return None
    limits = {row["metric"]: row for _, row in results.numbers[results.numbers["window"] == window].iterrows()}
    names = results.methods(rows)
    injections = list(results.suite.injections())
    figure = Figure(figsize=(7.4, 1.4 + 0.42 * len(names) * len(injections)))
    axes = figure.subplots()
    labels: list[str] = []
    for name in names:
        for injection in injections:
            chosen = rows[(rows["method"] == name) & (rows["injection"] == injection)]
            height = np.full(len(chosen), len(labels))
            axes.errorbar(chosen["value"], height, xerr=chosen["high"] - chosen["value"], fmt="o", color=colour(name))
            labels.append(f"{title(name)}, {injection}")
    floor, sidebands = limits.get("closure_floor"), limits.get("closure_sidebands")
    if floor is not None:
        axes.axvspan(floor["low"], floor["high"], color="0.7", alpha=0.5, lw=0)
        axes.axvline(floor["value"], color="0.4", lw=1, label=f"truth against truth {floor['value']:.3f}")
    most = max(rows["high"].max(), 0.53)
    axes.set_xlim(0.485, most + 0.02)
    if sidebands is not None:
        place = min(sidebands["value"], most + 0.018)
        arrow = " →" if sidebands["value"] > place else ""
        axes.axvline(place, color="tab:red", lw=1.5, ls="--", label=f"raw sidebands {sidebands['value']:.3f}{arrow}")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.invert_yaxis()
    axes.set_xlabel("closure AUC, template against true background (0.5: no classifier can tell)")
    if floor is not None:
        figure.legend(fontsize=8, loc="outside upper center", ncols=2, frameon=False)
    return figure


def overlays(the_task: task.Task, template_path: Path, truth: Events, name: str) -> Figure:
    """Features of a template, of the true background and of the raw sidebands, with pulls below.

    Args:
        the_task: the task.
        template_path: the template.
        truth: background events in the window that no fit has seen.
        name: the method.
    """
    template = events.read(template_path, list(the_task.features))
    data = the_task.events("data")
    sidebands = data[~the_task.inside(data)]
    count = len(the_task.features)
    figure = Figure(figsize=(2.9 * count, 3.6))
    panels = figure.subplots(2, count, sharex="col", height_ratios=(3, 1), squeeze=False)
    for index, feature in enumerate(the_task.features):
        expected = truth.features[:, index]
        low, high = np.quantile(expected, [0.001, 0.999])
        edges = np.linspace(low, high, 31)
        top, bottom = panels[0, index], panels[1, index]
        made, error_made = _density(template[feature], edges)
        true, error_true = _density(expected, edges)
        top.stairs(true, edges, color="0.3", fill=True, alpha=0.25, label="true background")
        top.stairs(
            _density(sidebands.features[:, index], edges)[0], edges, color="tab:red", ls=":", label="raw sidebands"
        )
        top.stairs(made, edges, color=colour(name), lw=1.6, label=title(name))
        spread = np.hypot(error_made, error_true)
        pull = np.divide(made - true, spread, out=np.zeros_like(made), where=spread > 0)
        bottom.bar(edges[:-1], pull, np.diff(edges), align="edge", color=colour(name))
        bottom.axhspan(-2, 2, color="0.9", zorder=0)
        bottom.set_ylim(-5, 5)
        bottom.set_xlabel(style.with_unit(feature, the_task.units[feature]))
        top.set_yticks([])
    panels[0, 0].legend(fontsize=7, frameon=False)
    panels[0, 0].set_ylabel("density")
    panels[1, 0].set_ylabel("pull")
    return figure


def _density(
    values: NDArray[np.float32], edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts, _ = np.histogram(values, edges)
    scale = 1 / (len(values) * np.diff(edges))
    return counts * scale, np.sqrt(counts) * scale


def throughput(results: Results) -> Figure | None:
    """Events per second against batch, host to host; templates left, scores right."""
    if results.timings.empty:
        return None
    figure = Figure(figsize=(10.4, 4.4))
    panels = figure.subplots(1, 2, sharey=True)
    most = int(results.timings["threads"].max())
    for axes, role in zip(panels, ("template", "score"), strict=True):
        rows = results.timings[(results.timings["role"] == role) & (results.timings["scope"] == "host")]
        for name in results.methods(rows):
            for threads, line, inside in ((1, ":", "w"), (most, "-", colour(name))):
                run = rows[(rows["method"] == name) & (rows["threads"] == threads)].sort_values("batch")
                error = [run["events_per_second"] - run["p10"], run["p90"] - run["events_per_second"]]
                label = title(name) if threads == most else None
                look = {"color": colour(name), "ls": line, "marker": "o", "mfc": inside}
                axes.errorbar(run["batch"], run["events_per_second"], error, label=label, **look)
        axes.set_yscale("log")
        _batches(axes, rows["batch"])
        axes.set_title(f"{role}s; solid {most} threads, dotted and open 1", fontsize=10)
    panels[0].set_ylabel("events per second (median, p10–p90)")
    # Every method has a score, so the right panel names them all.
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _batches(axes: Axes, batches: "pd.Series[int]") -> None:
    """A logarithmic x axis with the batches that were timed, and no other, marked on it."""
    axes.set_xscale("log")
    timed = sorted(batches.unique())
    axes.set_xticks(timed, [f"{batch:,}" for batch in timed])
    axes.xaxis.minorticks_off()
    axes.set_xlabel("events in one call")


def against_torch(results: Results) -> Figure | None:
    """ONNX Runtime's rate over torch's on the same weights at equal batch and threads."""
    rows = results.comparisons
    if rows.empty:
        return None
    rows = rows.assign(graph=[f"{title(m)} {r}" for m, r in zip(rows["method"], rows["role"], strict=True)])
    index = ["graph", "method", "role", "batch", "threads"]
    rates = rows.pivot_table(index=index, columns="engine", values="events_per_second").reset_index()
    figure = Figure(figsize=(10.4, 3.8))
    panels = figure.subplots(1, rows["threads"].nunique(), sharey=True, squeeze=False)[0]
    for axes, (threads, group) in zip(panels, rates.groupby("threads"), strict=True):
        for graph, run in group.groupby("graph"):
            marker = {"template": "o", "score": "s", "density": "^"}[run["role"].iloc[0]]
            line = {"color": colour(run["method"].iloc[0]), "marker": marker}
            axes.plot(run["batch"], run["onnxruntime"] / run["torch eager"], label=graph, **line)
            if "torch.compile" in run:
                axes.plot(run["batch"], run["onnxruntime"] / run["torch.compile"], ls=":", **line)
        axes.axhline(1, color="0.5", lw=1)
        _batches(axes, group["batch"])
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}×")
        axes.set_title(f"{threads} thread{'s' if int(str(threads)) > 1 else ''}", fontsize=10)
    panels[0].set_ylabel("ONNX Runtime / torch")
    look = {"fontsize": 8, "frameon": False, "title": "over eager; dotted: over compiled", "title_fontsize": 8}
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", **look)
    return figure


def cost(results: Results) -> Figure:
    """Seconds to fit each method, the shared fits it stands on apart."""
    seconds = results.metric("fit_seconds").groupby("method")["value"].median()
    names = [name for name in results.suite["methods"] if name in seconds]
    figure = Figure(figsize=(7.4, 0.9 + 0.42 * len(names)))
    axes = figure.subplots()
    for height, name in enumerate(names):
        shared = sum(float(seconds.get(need, 0.0)) for need in catalogue.get(name).needs)
        axes.barh(height, shared, color="0.8", label="shared fit" if height == 0 else None)
        axes.barh(height, seconds[name], left=shared, color=colour(name))
        axes.annotate(
            f"{shared + seconds[name]:.0f} s", (shared + seconds[name], height), (5, -3), textcoords="offset points"
        )
    axes.set_yticks(range(len(names)), [title(name) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("seconds to fit, median over cells (grey: the fit it shares)")
    axes.grid(axis="y", visible=False)
    return figure


def excesses(results: Results) -> Figure | None:
    """The cross-fitted excess of each window, by method."""
    rows = results.numbers[results.numbers["metric"].str.startswith("excess_")]
    if rows.empty:
        return None
    kinds = sorted(rows["metric"].unique())
    injections = [name for name in results.suite.injections() if name in set(rows["injection"])]
    figure = Figure(figsize=(5.2 * len(kinds), 1 + 2.8 * len(injections)))
    panels = figure.subplots(len(injections), len(kinds), sharex=True, sharey="row", squeeze=False)
    windows, names = list(results.suite.windows()), results.methods(rows)
    for line, injection in zip(panels, injections, strict=True):
        for axes, kind in zip(line, kinds, strict=True):
            for place, name in enumerate(names):
                run = rows[(rows["metric"] == kind) & (rows["method"] == name) & (rows["injection"] == injection)]
                beside = 0.5 * (place - (len(names) - 1) / 2) / len(names)
                x = [windows.index(window) + beside for window in run["window"]]
                axes.plot(x, run["value"], "o", ms=4, color=colour(name), label=title(name))
            axes.axhspan(-3, 3, color="0.93", zorder=0)
            axes.set_xticks(range(len(windows)), windows, rotation=30, ha="right")
            axes.set_xlim(-0.5, len(windows) - 0.5)
            axes.set_title(f"{injection}, cut at template efficiency {kind.removeprefix('excess_')}", fontsize=10)
        line[0].set_ylabel("excess Z")
    panels[0, 0].legend(fontsize=8, frameon=False)
    return figure


def cell_curve(curve: list[float], name: str) -> Figure:
    """The SIC curve of one cell, for its own run in MLflow."""
    figure = Figure(figsize=(5, 4), layout="tight")
    axes = figure.subplots()
    _sic_axes(axes)
    axes.plot(sic.GRID, curve, color=colour(name), lw=2, label=title(name))
    axes.legend(fontsize=8, frameon=False)
    return figure

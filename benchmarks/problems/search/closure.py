"""Figures of closure: AUCs, features, and the weights of the classifier that tells template from truth."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks.events import task
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.metrics import closure
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.report import style
from sideband.benchmarks.report.results import Results
from sideband.infer import events

Array = NDArray[np.float32]
Shares = NDArray[np.float64]


def overview(results: Results, window: str) -> Figure | None:
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
    named: list[str] = []
    for name in names:
        for injection in injections:
            chosen = rows[(rows["method"] == name) & (rows["injection"] == injection)]
            height = np.full(len(chosen), len(named))
            axes.errorbar(
                chosen["value"], height, xerr=chosen["high"] - chosen["value"], fmt="o", color=style.colour(name)
            )
            several = f", {labels.count(results.suite, injection)}" if len(injections) > 1 else ""
            named.append(style.title(name) + several)
    floor, sidebands = limits.get("closure_floor"), limits.get("closure_sidebands")
    if floor is not None:
        axes.axvspan(floor["low"], floor["high"], color="0.7", alpha=0.5, lw=0)
        axes.axvline(floor["value"], color="0.4", lw=1, label=f"truth against truth {floor['value']:.3f}")
    most = max(rows["high"].max(), 0.53)
    axes.set_xlim(0.485, most + 0.02)
    if sidebands is not None:
        look: dict[str, Any] = {"color": "tab:red", "lw": 1.5, "ls": "--"}
        label = f"raw sidebands {sidebands['value']:.3f}"
        if sidebands["value"] <= most + 0.018:
            axes.axvline(sidebands["value"], label=label, **look)
        else:  # at the edge of the axes, which is not its value
            axes.plot([0.99, 0.99], [0, 1], label=f"{label} →", transform=axes.transAxes, **look)
    axes.set_yticks(range(len(named)), named)
    axes.set_ylabel(f"method, events {labels.INJECTED}" if len(injections) > 1 else "")
    axes.set_ylim(-0.6, len(named) - 0.4)
    axes.invert_yaxis()
    axes.set_xlabel("closure AUC, template against true background")
    if floor is not None:
        figure.legend(fontsize=8, loc="outside upper center", ncols=2, frameon=False)
    return figure


def overlays(the_task: task.Task, template_path: Path, truth: Events, name: str) -> Figure | None:
    """Features of a template, of the true background and of the raw sidebands, with pulls below.

    Args:
        the_task: the task.
        template_path: the template, perhaps with weights.
        truth: background events in the window that no fit has seen.
        name: the method.

    Returns:
        One column for each feature of one number per event; None if there is no such feature.
    """
    starts = np.cumsum([0, *the_task.features.values()])
    places = {
        each: start for (each, width), start in zip(the_task.features.items(), starts, strict=False) if width == 1
    }
    if not places:
        return None
    with events.opened(template_path) as file:
        weighted = ["weight"] if "weight" in file else []
    template = events.read(template_path, [*places, *weighted])
    data = the_task.events("data")
    sidebands = data[~the_task.inside(data)]
    figure = Figure(figsize=(2.9 * len(places), 3.6))
    panels = figure.subplots(2, len(places), sharex="col", height_ratios=(3, 1), squeeze=False)
    for (feature, place), (top, bottom) in zip(places.items(), panels.T, strict=True):
        expected = truth.features[:, place]
        low, high = np.quantile(expected, [0.001, 0.999])
        edges = np.linspace(low, high, 31)
        made, error_made = _shares(template[feature], edges, template.get("weight"))
        true, error_true = _shares(expected, edges)
        raw, _ = _shares(sidebands.features[:, place], edges)
        top.stairs(true, edges, color="0.3", fill=True, alpha=0.25, label="true background")
        top.stairs(raw, edges, color="tab:red", ls=":", label="raw sidebands")
        top.stairs(made, edges, color=style.colour(name), lw=1.6, label=style.title(name))
        spread = np.hypot(error_made, error_true)
        pull = np.divide(made - true, spread, out=np.zeros_like(made), where=spread > 0)
        bottom.bar(edges[:-1], pull, np.diff(edges), align="edge", color=style.colour(name))
        bottom.axhspan(-2, 2, color="0.9", zorder=0)
        bottom.set_ylim(-5, 5)
        bottom.set_xlabel(style.with_unit(feature, the_task.units[feature]))
        top.set_yticks([])
    panels[0, 0].legend(fontsize=7, frameon=False)
    panels[0, 0].set_ylabel("share per bin")
    panels[1, 0].set_ylabel("pull")
    return figure


def _shares(values: Array, edges: NDArray[np.float64], weight: Array | None = None) -> tuple[Shares, Shares]:
    """The share of values `[N]` with weights `[N]` that lies in each bin, and its error."""
    counted: Shares = np.ones(len(values)) if weight is None else weight.astype(float)
    sums, _ = np.histogram(values, edges, weights=counted)
    squares, _ = np.histogram(values, edges, weights=counted**2)
    return sums / counted.sum(), np.sqrt(squares) / counted.sum()


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
            axes.stairs(share, closure.WEIGHTS, color=style.colour(name), lw=1.5, label=style.title(name))
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


def draw_floor(results: Results, axes: Axes) -> None:
    """Draw the band that truth against truth leaves."""
    floor = results.metric("closure_floor")
    if len(floor):
        axes.axhspan(floor["low"].min(), floor["high"].max(), color="0.7", alpha=0.5, lw=0, label="truth against truth")

"""How a run grows, drawn and as a table."""

import math
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from sideband.benchmarks.report import style

STEPS = ("task", "fit", "export", "template", "score", "control", "evaluate", "report")
MEASURES = {"cpu_seconds": "CPU seconds, all jobs", "peak_mib": "highest memory of a job [MiB]"}


def draw(rows: pd.DataFrame) -> Figure:
    """CPU seconds and memory against what grows, a line for each step; dotted is linear growth from the first point."""
    axes_names = list(dict.fromkeys(rows["axis"]))
    figure = Figure(figsize=(1.2 + 3.2 * len(axes_names), 6.4))
    panels = figure.subplots(len(MEASURES), len(axes_names), squeeze=False, sharex="col", sharey="row")
    for line, (measure, label) in zip(panels, MEASURES.items(), strict=True):
        line[0].set_ylabel(label)
        for panel, axis in zip(line, axes_names, strict=True):
            here = rows[rows["axis"] == axis]
            for step, colour in zip(STEPS, style.PALETTE, strict=False):
                found = here[here["step"] == step].sort_values("value")
                panel.plot(found["value"], found[measure], "o-", ms=4, color=colour, label=step)
            whole = here.groupby("value")[measure].agg("sum" if measure == "cpu_seconds" else "max")
            panel.plot(whole.index, whole.iloc[0] * whole.index / whole.index[0], ":", color="0.4", label="linear")
            panel.set(xscale="log", yscale="log")
            panel.set_xticks(whole.index, [f"{value:,}" for value in whole.index])
            panel.minorticks_off()
    for panel, axis in zip(panels[-1], axes_names, strict=True):
        panel.set_xlabel(axis)
    panels[0, -1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def table(rows: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Lines of a table: what grows, the step, CPU seconds and MiB at each size, and the power between the last two."""
    yield "grows", "step", "CPU s", "MiB", "power of CPU s", "power of MiB"
    for axis in dict.fromkeys(rows["axis"]):
        here = rows[rows["axis"] == axis]
        yield axis, "", *(" → ".join(f"{value:,}" for value in sorted(set(here["value"]))),) * 2, "", ""
        for step in STEPS:
            found = here[here["step"] == step].sort_values("value")
            if not found.empty:
                numbers = [" → ".join(f"{value:,.0f}" for value in found[measure]) for measure in MEASURES]
                yield "", step, *numbers, *(_power(found, measure) for measure in MEASURES)


def _power(found: pd.DataFrame, measure: str) -> str:
    """The power of the size that a value grows with, between the two largest sizes."""
    if len(found) < 2:
        return ""
    (small, low), (large, high) = found[["value", measure]].to_numpy()[-2:]
    return f"{math.log(high / low) / math.log(large / small):.2f}"

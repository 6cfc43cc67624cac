"""The study of signal strength: sensitivity against S/√B."""

import numpy as np
from matplotlib.figure import Figure

from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section
from sideband.benchmarks.report.results import Results


def section(results: Results) -> Section | None:
    """Sensitivity against injected signal; None before any task is drawn."""
    if results.tasks.empty:
        return None
    window = next(iter(results.suite.windows()))
    text = (
        "The same methods on more and less signal. Draws of one seed share their background, so methods are compared "
        "on the same events at every strength."
    )
    caption = f"Sensitivity against injected signal in {labels.window(results, window)}."
    picture = Picture("strengths", caption, figure(results, window))
    return "Signal strength", text, [picture]


def figure(results: Results, window: str) -> Figure:
    """SIC at the working point and max SIC against S/√B in a window, medians with bands."""
    drawn = Figure(figsize=(10.4, 4.2))
    panels = drawn.subplots(1, 2)
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
            axes.plot(x, median, marker="o", label=labels.title(results, name), **style.line(name))
            axes.fill_between(x, low, high, color=style.colour(name), alpha=0.15, lw=0)
        axes.set_xscale("log")
        ticks = [f"{achieved[name]:.2g}\n{labels.count(results.suite, name)}" for name in injections]
        axes.set_xticks([achieved[name] for name in injections], ticks)
        axes.minorticks_off()
        axes.set_xlabel(f"S/√B in the window, and {labels.INJECTED}")
        style.from_zero(axes)
    panels[0].set_ylabel("SIC at background efficiency $10^{-3}$")
    panels[1].set_ylabel("max SIC")
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return drawn

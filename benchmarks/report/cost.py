"""What fitting costs: seconds, memory, the share of fits that methods have in common, and whether they converged."""

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from sideband.benchmarks import catalogue
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.results import Results

STOOD_ON: dict[str, Any] = {"color": "white", "edgecolor": "0.5", "hatch": "////", "lw": 0}  # bars of such fits


def section(results: Results) -> Section:
    """The training cost of every method, so far as it is fitted."""
    text = (
        "Seconds on the clock and of processor time, template drawing and classifier included. A training that used up "
        "its steps before its held-out criterion stopped falling has not converged: its method may do better than "
        "shown."
    )
    return "Training cost", text, [Picture("cost", "Seconds to fit one cell.", figure(results)), table(results)]


@dataclass(frozen=True)
class Cost:
    """Processor seconds of a method: training once for all windows, training for each window, and the rest of a cell.

    The rest is drawing the template and training the classifier.
    """

    once: float
    each: float
    cell: float

    def training(self, windows: int) -> float:
        """Seconds to train for some windows."""
        return self.once + windows * self.each

    def anew(self, windows: int) -> float:
        """The same, were all of it trained for each window."""
        return windows * self.training(1)

    def whole(self, windows: int) -> float:
        """Seconds to train, draw templates and train classifiers for some windows."""
        return self.training(windows) + windows * self.cell


def costs(results: Results) -> dict[str, Cost]:
    """The cost of every method that is fitted, medians over cells; of a method that it builds on, the model alone."""
    whole, model = (
        results.metric(name).groupby("method")["value"].median() for name in ("fit_cpu_seconds", "model_cpu_seconds")
    )
    found = {}
    for name in [name for name in results.suite["methods"] if name in whole]:
        own = float(model.get(name, 0.0))
        once, each = 0.0, own
        for need in sorted(results.suite.stands_on(name)):
            spent = float((whole if catalogue.get(need).shared else model).get(need, 0.0))
            once, each = (once + spent, each) if results.suite.everywhere(need) else (once, each + spent)
        found[name] = Cost(once, each, float(whole[name]) - own)
    return found


def unconverged(results: Results, method: str) -> tuple[int, int]:
    """How many trainings of a method and of what it stands on stopped before they converged, and of how many."""
    rows = results.metric("converged")
    rows = rows[rows["method"].isin([method, *results.suite.stands_on(method)])]
    return int((rows["value"] == 0).sum()), len(rows)


def figure(results: Results) -> Figure:
    """Seconds to fit each method, with the fits that it stands on hatched."""
    fitted = results.metric("fit_seconds").groupby("method")["value"].median()
    names = [name for name in results.suite["methods"] if name in fitted]
    drawn = Figure(figsize=(7.4, 0.9 + 0.42 * len(names)))
    axes = drawn.subplots()
    for height, name in enumerate(names):
        shared = sum(float(fitted.get(need, 0.0)) for need in sorted(results.suite.stands_on(name)))
        axes.barh(height, shared, label="shared fit" if height == 0 else None, **STOOD_ON)
        axes.barh(height, fitted[name], left=shared, color=style.colour(name))
        axes.annotate(
            f"{shared + fitted[name]:.0f} s", (shared + fitted[name], height), (5, -3), textcoords="offset points"
        )
    axes.set_yticks(range(len(names)), [style.title(name) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("seconds to fit, median over cells (hatched: the fits it stands on)")
    axes.grid(axis="y", visible=False)
    return drawn


def table(results: Results) -> Table:
    """What fitting one cell costs."""
    rows = []
    for name in [*results.suite.shared(), *results.suite["methods"]]:
        row = [style.title(name)]
        for metric in ("fit_seconds", "fit_cpu_seconds", "peak_memory_mib", "training_events_per_second"):
            chosen = results.metric(metric)
            row.append(number(chosen[chosen["method"] == name]["value"].median()))
        notes = results.metric("fit_seconds")
        notes = notes[notes["method"] == name]["note"]
        rows.append([*row, _converged(results, name), notes.iloc[0] if len(notes) else ""])
    head = ["fit", "seconds", "CPU seconds", "peak memory [MiB]", "training events/s", "converged", "device"]
    return Table("Median over cells. Cells ran beside each other, so seconds depend on the load.", head, rows)


def _converged(results: Results, method: str) -> str:
    """How many of a fit's own trainings converged; those that run a fixed number of steps have no criterion."""
    rows = results.metric("converged")
    rows = rows[rows["method"] == method]
    if rows.empty:
        return "no criterion"
    return f"{int(rows['value'].sum())} of {len(rows)}"

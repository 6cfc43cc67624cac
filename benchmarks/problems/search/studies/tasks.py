"""The study of named tasks: closure against raw sidebands, sensitivity and false alarms on each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sideband.benchmarks.events import task
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.metrics.excess import DIRECT
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.results import Results

# What a template's closure should not exceed: what the data's own sidebands reach without any model, and this.
MARGIN, MOST = 0.005, 0.515


@dataclass(frozen=True)
class Row:
    """One method on one task; every number NaN, and every list empty, where there is none.

    Args:
        task, method: their names.
        closure: the largest AUC of the draws, with its error.
        sidebands: the AUC of the raw sidebands.
        sic: max SIC, each draw with signal; few events leave no other working point.
        ratio: the same over the idealised detector's, draw by draw.
        z: significances of the draws without signal, at every cut.
    """

    task: str
    method: str
    closure: float
    error: float
    sidebands: float
    sic: list[float]
    ratio: list[float]
    z: list[float]

    @property
    def limit(self) -> float:
        """What the closure should not exceed."""
        return float(min(self.sidebands + MARGIN, MOST))

    @property
    def holds(self) -> str:
        """Whether it does not: yes, no, or that its error does not allow to say."""
        if not np.isfinite([self.closure, self.limit]).all():
            return "n/a"
        if abs(self.closure - self.limit) <= self.error:
            return "within its error"
        return "yes" if self.closure < self.limit else "no"


def section(results: Results) -> Section | None:
    """What tasks there are, one table of every method on every task, and one figure; None before any is evaluated."""
    found = rows(results)
    if not found:
        return None
    text = (
        "The same methods with the same settings on tasks that differ. A template should close no worse than raw "
        f"sidebands do, by more than {MARGIN:g}, and below {MOST:g}: a model that makes the sidebands worse is worse "
        "than none. Closure is that of the worst draw. Ratios are those of max SIC, to the idealised detector on the "
        "same draw. Z is the cross-fitted excess where nothing is injected: any beyond 3 is the template's own."
    )
    picture = Picture("tasks", "Closure, sensitivity and false alarms by task.", figure(results, found))
    return "Tasks side by side", text, [described(results), picture, table(results, found)]


def rows(results: Results) -> list[Row]:
    """Every method on every task, so far as it is evaluated."""
    return [row for name in results.suite.windows() for row in _of_task(results.at(name), name)]


def _of_task(results: Results, name: str) -> Iterator[Row]:
    sidebands = results.metric("closure_sidebands")["value"]
    injections = results.suite.injections()
    signal = [injection for injection, injected in injections.items() if injected]
    for method in results.suite["methods"]:
        numbers = results.numbers[results.numbers["method"] == method]
        closed = numbers[numbers["metric"] == "closure_auc"].sort_values("value", ascending=False)
        auc, high = (float(closed[key].iloc[0]) if len(closed) else np.nan for key in ("value", "high"))
        ours, theirs = (
            [value for each in signal for value in results.values("max_sic", of, each, name).values()]
            for of in (method, "iad")
        )
        empty = numbers["injection"].map(lambda each: injections.get(each) == 0).astype(bool)
        alarms = numbers[numbers["metric"].str.startswith(f"{DIRECT}_") & empty]
        if len(closed) or np.isfinite(ours).any():
            yield Row(
                name,
                method,
                auc,
                high - auc,
                float(sidebands.iloc[0]) if len(sidebands) else np.nan,
                ours,
                sic.paired_ratio(ours, theirs),
                alarms["value"].tolist(),
            )


def table(results: Results, found: list[Row]) -> Table:
    """Every method on every task."""
    head = ["task", "method", "closure AUC", "raw sidebands", "limit", "holds", "max SIC", "ratio to idealised"]
    lines = [
        [
            row.task,
            style.title(row.method),
            f"{number(row.closure, 4)} ± {row.error:.4f}" if np.isfinite(row.closure) else "n/a",
            *(number(value, 4) if np.isfinite(row.closure) else "n/a" for value in (row.sidebands, row.limit)),
            row.holds,
            labels.spread(row.sic),
            labels.spread(row.ratio),
            "  ".join(f"{value:+.1f}" for value in row.z) or "n/a",
        ]
        for row in found
    ]
    suite = results.suite
    drawn = {labels.injected(suite, each): labels.draws(len(suite.seeds(each))) for each in suite.injections()}
    told = "; ".join(f"{injection}: {draws}" for injection, draws in drawn.items())
    return Table(f"Every method on every task. {told}.", [*head, "Z without signal"], lines)


def described(results: Results) -> Table:
    """What each task is: the first of its draws with the most signal."""
    lines = []
    for name, window in results.suite.windows().items():
        drawn = results.at(name)
        if drawn.tasks.empty or window is None:
            continue
        first = drawn.tasks.sort_values("signal_in_window", ascending=False, kind="stable").iloc[0]
        path = results.folder / name / first["injection"] / first["seed"] / "task.h5"
        unit = ""
        if path.exists():
            read = task.read(path)
            unit = read.units[read.mass]
        injected = ", ".join(labels.count(drawn.suite, each) for each in drawn.suite.injections())
        lines.append(
            [
                name,
                str(first["dataset"]),
                *(f"{low:g}–{high:g} {unit}".rstrip() for low, high in (first["mass_range"], window)),
                ", ".join(first["features"]),
                str(first["data_in_range"]),
                injected,
                f"{first['significance']:.2f}",
            ]
        )
    head = ["task", "events", "mass range", "window", "features", "data in range", labels.INJECTED]
    return Table("The tasks.", [*head, "S/√B in window"], lines)


def figure(results: Results, found: list[Row]) -> Figure:
    """Closure with its limits, ratios to the idealised detector and Z without signal, by task."""
    tasks = list(dict.fromkeys(row.task for row in found))
    names = [name for name in results.suite["methods"] if any(row.method == name for row in found)]
    shown = {
        "closure AUC": [[row.closure] for row in found],
        "max SIC / idealised": [row.ratio for row in found],
        "Z without signal": [row.z for row in found],
    }
    shown = {what: values for what, values in shown.items() if any(np.isfinite(each).any() for each in values)}
    drawn = Figure(figsize=(3.0 + 1.5 * len(tasks), 0.8 + 2.6 * len(shown)))
    panels = drawn.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (what, values) in zip(panels, shown.items(), strict=True):
        for row, each in zip(found, values, strict=True):
            beside = 0.7 * (names.index(row.method) - (len(names) - 1) / 2) / len(names)
            first = row.task == next(other.task for other in found if other.method == row.method)
            x = np.full(len(each), tasks.index(row.task) + beside)
            label = style.title(row.method) if first else None
            axes.plot(x, each, "o", ms=4, color=style.colour(row.method), label=label)
        if what == "closure AUC":
            _limits(axes, found, tasks)
        elif what == "Z without signal":
            axes.axhspan(-3, 3, color="0.93", zorder=0)
        else:
            axes.axhline(1, color="0.7", lw=1)
        axes.set_ylabel(what)
    panels[-1].set_xticks(range(len(tasks)), [name.replace("_", " ") for name in tasks], rotation=20, ha="right")
    together = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    drawn.legend(list(together.values()), list(together), loc="outside right upper", fontsize=8, frameon=False)
    return drawn


def _limits(axes: Axes, found: list[Row], tasks: list[str]) -> None:
    """Each task's limit, and the raw sidebands where they are not far above it."""
    most = max(MOST, *(row.closure for row in found if np.isfinite(row.closure)))
    for place, name in enumerate(tasks):
        row = next(each for each in found if each.task == name)
        axes.hlines(row.limit, place - 0.45, place + 0.45, color="0.3", lw=1, label="" if place else "limit")
        if row.sidebands <= most:
            label = "" if place else "raw sidebands"
            axes.hlines(row.sidebands, place - 0.45, place + 0.45, color="tab:red", ls="--", lw=1.2, label=label)


def protocol(results: Results) -> dict[str, str]:
    """What a suite of named tasks has in place of one set of events, one mass range and one window; empty without."""
    if "tasks" not in results.suite.content:
        return {}
    names = ", ".join(results.suite.windows())
    place = "in the table of the section that compares them"
    return {
        "events": f"Named tasks, each with its own: {names}; {place}.",
        "masses": f"Of each task, {place}; sidebands: the rest of its mass range.",
        "signal": f"Injected over the whole mass range, a new random draw for each seed; numbers {place}.",
    }

"""What fitting costs: seconds, memory, and the share of fits that methods have in common."""

from matplotlib.figure import Figure

from sideband.benchmarks import catalogue
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.results import Results


def section(results: Results) -> Section:
    """The training cost of every method, so far as it is fitted."""
    text = "Seconds on the clock and of processor time, template drawing and classifier included."
    return "Training cost", text, [Picture("cost", "Seconds to fit one cell.", figure(results)), table(results)]


def figure(results: Results) -> Figure:
    """Seconds to fit each method, with the shared fits that it stands on in grey."""
    seconds = results.metric("fit_seconds").groupby("method")["value"].median()
    names = [name for name in results.suite["methods"] if name in seconds]
    drawn = Figure(figsize=(7.4, 0.9 + 0.42 * len(names)))
    axes = drawn.subplots()
    for height, name in enumerate(names):
        shared = sum(float(seconds.get(need, 0.0)) for need in catalogue.get(name).needs)
        axes.barh(height, shared, color="0.8", label="shared fit" if height == 0 else None)
        axes.barh(height, seconds[name], left=shared, color=style.colour(name))
        axes.annotate(
            f"{shared + seconds[name]:.0f} s", (shared + seconds[name], height), (5, -3), textcoords="offset points"
        )
    axes.set_yticks(range(len(names)), [style.title(name) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("seconds to fit, median over cells (grey: the fit it shares)")
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
        rows.append([*row, notes.iloc[0] if len(notes) else ""])
    head = ["fit", "seconds", "CPU seconds", "peak memory [MiB]", "training events/s", "device"]
    return Table("Median over cells. Cells ran beside each other, so seconds depend on the load.", head, rows)

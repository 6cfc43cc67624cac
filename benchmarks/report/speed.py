"""Speed: events per second in ONNX Runtime, and the same graphs in torch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sideband.benchmarks import catalogue
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table, number
from sideband.benchmarks.report.results import Results


def section(results: Results) -> Section | None:
    """Throughput of every exported graph that was timed; None before any was."""
    if results.timings.empty:
        return None
    content: list[Table | Picture] = [
        Picture("throughput", "Events per second in ONNX Runtime, numpy to numpy.", throughput(results)),
        table(results),
    ]
    compared = against_torch(results)
    if compared is not None:
        caption = "The same weights and events in torch and in ONNX Runtime, at equal batch and threads."
        content += [Picture("against_torch", caption, compared), torch_table(results)]
    return "Throughput", _text(results), content


def template_rates(results: Results) -> dict[str, float]:
    """Template events per second of each method that has a generator: host to host, best batch and threads.

    A mixture only passes on what others made, so its rate is that of its sources, one after the other, in equal shares;
    it has none until all of them are timed.
    """
    if results.timings.empty:
        return {}
    rows = results.timings[(results.timings["role"] == "template") & (results.timings["scope"] == "host")]
    rates = {str(name): float(rate) for name, rate in rows.groupby("method")["events_per_second"].max().items()}
    for name in list(rates):
        entry, sources = catalogue.get(name), results.suite.needs(name)
        if entry.rows and entry.of:
            del rates[name]
            if rates.keys() >= set(sources):
                rates[name] = len(sources) / sum(1 / rates[source] for source in sources)
    return rates


def throughput(results: Results) -> Figure:
    """Events per second against batch, host to host; templates left, scores right."""
    figure = Figure(figsize=(10.4, 4.4))
    panels = figure.subplots(1, 2, sharey=True)
    most = int(results.timings["threads"].max())
    for axes, role in zip(panels, ("template", "score"), strict=True):
        rows = results.timings[(results.timings["role"] == role) & (results.timings["scope"] == "host")]
        for name in results.methods(rows):
            for threads, line, inside in ((1, ":", "w"), (most, "-", style.colour(name))):
                run = rows[(rows["method"] == name) & (rows["threads"] == threads)].sort_values("batch")
                error = [run["events_per_second"] - run["p10"], run["p90"] - run["events_per_second"]]
                label = style.title(name) if threads == most else f"_{style.title(name)}, 1 thread"
                look = {"color": style.colour(name), "ls": line, "marker": "o", "mfc": inside}
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
    rows = rows.assign(graph=[f"{style.title(m)} {r}" for m, r in zip(rows["method"], rows["role"], strict=True)])
    index = ["graph", "method", "role", "batch", "threads"]
    rates = rows.pivot_table(index=index, columns="engine", values="events_per_second").reset_index()
    figure = Figure(figsize=(10.4, 3.8))
    panels = figure.subplots(1, rows["threads"].nunique(), sharey=True, squeeze=False)[0]
    for axes, (threads, group) in zip(panels, rates.groupby("threads"), strict=True):
        for graph, run in group.groupby("graph"):
            marker = {"template": "o", "score": "s", "density": "^"}[run["role"].iloc[0]]
            line = {"color": style.colour(run["method"].iloc[0]), "marker": marker}
            axes.plot(run["batch"], run["onnxruntime"] / run["torch eager"], label=graph, **line)
            if "torch.compile" in run:
                line |= {"ls": ":", "label": f"_{graph}, over compiled"}
                axes.plot(run["batch"], run["onnxruntime"] / run["torch.compile"], **line)
        axes.axhline(1, color="0.5", lw=1)
        _batches(axes, group["batch"])
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}×")
        axes.set_title(f"{threads} thread{'s' if int(str(threads)) > 1 else ''}", fontsize=10)
    panels[0].set_ylabel("ONNX Runtime / torch")
    look = {"fontsize": 8, "frameon": False, "title": "over eager; dotted: over compiled", "title_fontsize": 8}
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", **look)
    return figure


def table(results: Results) -> Table:
    """The best rate of each graph in each scope."""
    rows = []
    timings = results.timings
    for (method, role), group in timings.groupby(["method", "role"], sort=False):
        for scope in ("graph", "host", "file"):
            best = group[group["scope"] == scope].sort_values("events_per_second").iloc[-1]
            share = best["fraction_of_matmul"]
            rows.append(
                [
                    *(style.title(str(method)), str(role), scope),
                    *(str(best[name]) for name in ("batch", "threads", "provider")),
                    number(best["events_per_second"]),
                    f"{number(best['p10'])}–{number(best['p90'])}",
                    number(best["total_seconds"], 2),
                    number(share, 2) if pd.notna(share) else "none",
                ]
            )
    head = ["method", "graph", "scope", "batch", "threads", "provider", "events/s", "p10–p90 [events/s]"]
    caption = "Best batch and threads of each graph and scope; every row is in throughput.csv."
    return Table(caption, [*head, "timed [s]", "of MatMul"], rows)


def torch_table(results: Results) -> Table:
    """Best against best, torch and ONNX Runtime."""
    rows = []
    for (method, role), group in results.comparisons.groupby(["method", "role"], sort=False):
        row = [style.title(str(method)), str(role)]
        for engine in ("onnxruntime", "torch eager", "torch.compile"):
            chosen = group[group["engine"] == engine]
            rates = chosen["events_per_second"].dropna() if "events_per_second" in chosen else pd.Series(dtype=float)
            if len(rates):
                best = chosen.sort_values("events_per_second").iloc[len(rates) - 1]
                row.append(f"{number(best['events_per_second'])} ({best['batch']}, {best['threads']})")
            else:
                row.append(str(chosen["missing"].iloc[0]) if len(chosen) else "not timed")
        rows.append([*row, f"{group['parity'].max():.2g}"])
    head = ["method", "graph", "ONNX Runtime", "torch eager", "torch.compile", "parity [tolerances]"]
    return Table("Best events/s of each engine (batch, threads), in one process.", head, rows)


def _text(results: Results) -> str:
    seconds = results.timings["seconds_asked"].iloc[0]
    return (
        "MLPerf's Offline scenario: warm-up apart, median of repeats with 10th and 90th percentile, provider asserted, "
        "nothing else running. graph: inputs and outputs bound on the device; host: numpy to numpy; file: "
        f"draws or reading, graph, and writing HDF5. A row takes {seconds:g} s, less where its repeats agree, and "
        "more for a slow graph. The last column compares a graph's matrix products with ONNX Runtime's own MatMul rate "
        "in the same run; splines are mostly other work, and trees and rows have none. Tree ensembles run on the CPU "
        "provider only."
    )

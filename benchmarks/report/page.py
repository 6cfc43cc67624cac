"""The report of a suite: one self-contained HTML page, figures as PNG and SVG, and tidy CSV tables."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import task
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.metrics import closure, sic
from sideband.benchmarks.problems.search import figures
from sideband.benchmarks.problems.search.evaluate import background
from sideband.benchmarks.problems.showers import sections as showers
from sideband.benchmarks.problems.showers import tables
from sideband.benchmarks.report import studies, style
from sideband.benchmarks.report.content import Picture, Section, Table, banded, number
from sideband.benchmarks.report.results import Results, gather
from sideband.infer import events, provenance

TEMPLATE = Path(__file__).with_name("page.html")
LONG = 60  # rows of a table that the page does not show


def write(suite: Suite, folder: Path) -> Path:
    """Write the report of what is finished in a suite's folder; returns the page."""
    results = gather(suite, folder)
    out = folder / "report"
    frames = {"results": results.numbers, "sic_curves": results.curves}
    for name, frame in {**frames, "throughput": results.timings, "compare": results.comparisons}.items():
        with events.atomic(out / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False)
    sections = []
    for heading, text, content in _sections(results):
        parts: list[dict[str, Any]] = []
        for part in content:
            if isinstance(part, Picture):
                stem = str(out / "figures" / part.name)
                style.save(part.figure, stem)
                parts.append({"image": _inline(Path(f"{stem}.svg")), "caption": part.caption, "name": part.name})
            else:
                parts.append({"table": part})
        sections.append({"heading": heading, "text": text, "parts": parts})
    for cell in suite.cells():
        _draw_cell(results, cell, out / "cells")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(TEMPLATE.read_text())
    machine = provenance.machine()
    html = page.render(
        suite=suite,
        sections=sections,
        protocol=showers.protocol(results) if suite.showers else protocol(results),
        code=provenance.code(),
        machine=machine,
        versions=provenance.versions(),
    )
    with events.atomic(out / "index.html") as temporary:
        temporary.write_text(html)
    return out / "index.html"


def _inline(drawing: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.read_bytes()).decode()


def _sections(everything: Results) -> Iterator[Section]:
    suite = everything.suite
    results = everything if suite.showers else studies.without_varied(everything)
    if suite.showers:
        yield from showers.sections(results)
    else:
        yield from _search(results)
        yield from studies.sections(everything)
    speed = figures.throughput(results)
    if speed is not None:
        content: list[Table | Picture] = [
            Picture("throughput", "Events per second in ONNX Runtime, numpy to numpy.", speed),
            speed_table(results),
        ]
        torch = figures.against_torch(results)
        if torch is not None:
            caption = "The same weights and events in torch and in ONNX Runtime, at equal batch and threads."
            content += [Picture("against_torch", caption, torch), torch_table(results)]
        yield "Throughput", _speed_text(results), content
    caption = "Seconds to fit one cell."
    yield "Training cost", _cost_text(), [Picture("cost", caption, figures.cost(results)), cost_table(results)]
    yield "Tasks", "", [tables.drawn(results) if suite.showers else task_table(results)]
    if results.missing:
        rows = [[cell.folder] for cell in results.missing]
        yield "Missing", "These cells did not finish; their logs lie in logs/.", [Table("", ["cell"], rows)]
    yield "Methods", "", [tables.methods() if suite.showers else method_table()]


def _search(results: Results) -> Iterator[Section]:
    """Sensitivity, closure and excess of a search in mass windows."""
    suite = results.suite
    window = next(iter(suite.windows()))
    shown = list(suite.windows()) if len(suite.windows()) <= studies.FEW_WINDOWS else [window]
    injection = suite.timed()[0].injection
    if suite.labelled:
        picture = Picture(
            "headline",
            "Sensitivity against template throughput, one point a method; those without a generator at the left.",
            figures.headline(results, injection, window),
        )
        yield "Sensitivity against throughput", "", [picture]
        content: list[Table | Picture] = []
        for name in shown:
            caption = f"SIC curves in {name}: every run thin, the median thick."
            content.append(Picture(f"sic_{name}", caption, figures.sic_curves(results, name)))
            content.append(sic_table(results, name))
        yield "Sensitivity", _sic_text(results), content
    else:
        text = (
            "The events have no labels, so nobody knows which are signal: there is no SIC, no idealised detector and "
            "no supervised classifier to compare with. What follows needs no truth."
        )
        yield "Sensitivity", text, []
    content = []
    for name in shown:
        overview = figures.closure_overview(results, name)
        if overview is not None:
            caption = f"Closure in {name}. Grey band: truth against truth; red: raw sidebands, the positive control."
            content += [Picture(f"closure_{name}", caption, overview), closure_table(results, name)]
            drawn = studies.weights(results, name, injection)
            if drawn is not None:
                caption = (
                    f"Weights of the closure test, {name} {injection}, first seed: 1 where nothing tells them apart."
                )
                content.append(Picture(f"weights_{name}", caption, drawn))
            content += list(_overlays(results, name, injection))
    yield "Closure", _closure_text(results), content
    drawn = figures.excesses(results)
    if drawn is not None:
        text = (
            "Excess of the window's data over the template above a cut on cross-fitted scores: each event, of the data "
            "as of the template, is scored by a classifier that did not see it, and the template's statistics are part "
            "of the error (arXiv:2411.00085). Methods without a template have none. The band is |Z| < 3."
        )
        table = excess_table(results)
        parts: list[Table | Picture] = [Picture("excess", "Excess by window and method.", drawn)]
        if len(table.rows) <= LONG:
            parts.append(table)
        yield "Excess", text, parts


def _over(results: Results) -> str:
    draws = {injection: len(results.suite.seeds(injection)) for injection in results.suite.injections()}
    said = {
        injection: f"median ({sic.median_and_band([0.0] * number)[3]}) of {number} draws" if number > 1 else "one draw"
        for injection, number in draws.items()
    }
    if len(set(draws.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{injection}: {text}" for injection, text in said.items())


def sic_table(results: Results, window: str) -> Table:
    """Both numbers of every method and injection, with ratios to the idealised detector, paired by draw."""
    rows = []
    reference = "iad" in results.suite["methods"]
    for injection, injected in results.suite.injections().items():
        for name in results.suite["methods"]:
            at_point = results.values("sic_1e-3", name, injection, window)
            largest = results.values("max_sic", name, injection, window)
            row = [injection, figures.title(name), banded(list(at_point.values())), banded(list(largest.values()))]
            if reference and injected == 0:
                row.append("no signal")
            elif reference:
                ideal = results.values("sic_1e-3", "iad", injection, window)
                row.append(banded(sic.paired_ratio(list(at_point.values()), list(ideal.values()))))
            row.append("  ".join(number(value) for value in at_point.values()))
            rows.append(row)
    head = [
        "injection",
        "method",
        "SIC at 10⁻³",
        "max SIC",
        *(["ratio to idealised"] if reference else []),
        "every run",
    ]
    return Table(f"{window}: {_over(results)}.", head, rows)


def closure_table(results: Results, window: str) -> Table:
    """Closure AUC of each template, with the floor and the control."""
    rows = []
    for injection in results.suite.injections():
        for name in results.suite["methods"]:
            found = results.values("closure_auc", name, injection, window)
            if np.isfinite(list(found.values())).any():
                rows.append([injection, figures.title(name), banded(list(found.values()), 4)])
    for metric, label in (("closure_floor", "truth against truth"), ("closure_sidebands", "raw sidebands")):
        chosen = results.metric(metric)
        for _, row in chosen[chosen["window"] == window].iterrows():
            error = row["high"] - row["value"]
            rows.append(["", label, f"{row['value']:.4f} ± {error:.4f} ({row['note']})"])
    return Table(f"{window}: closure AUC, {_over(results)}.", ["injection", "sample", "AUC"], rows)


def excess_table(results: Results) -> Table:
    """Observed and expected events of every cut."""
    chosen = results.numbers[results.numbers["metric"].str.startswith("excess_")]
    rows: list[dict[Any, Any]] = chosen.to_dict("records")
    content = [
        [
            *(str(row[name]) for name in ("window", "injection", "seed")),
            figures.title(str(row["method"])),
            str(row["metric"]).removeprefix("excess_"),
            str(row["note"]),
            number(row["value"]),
        ]
        for row in rows
    ]
    head = ["window", "injection", "seed", "method", "template efficiency", "events", "Z"]
    return Table("Excess above each cut.", head, content)


def speed_table(results: Results) -> Table:
    """The best rate of each graph in each scope."""
    rows = []
    timings = results.timings
    for (method, role), group in timings.groupby(["method", "role"], sort=False):
        for scope in ("graph", "host", "file"):
            best = group[group["scope"] == scope].sort_values("events_per_second").iloc[-1]
            share = best["fraction_of_matmul"]
            rows.append(
                [
                    *(figures.title(str(method)), str(role), scope),
                    *(str(best[name]) for name in ("batch", "threads", "provider")),
                    number(best["events_per_second"]),
                    f"{number(best['p10'])}–{number(best['p90'])}",
                    f"{best['total_seconds']:.1f}",
                    number(share, 2) if pd.notna(share) else "trees",
                ]
            )
    head = ["method", "graph", "scope", "batch", "threads", "provider", "events/s", "p10–p90", "timed [s]", "of MatMul"]
    return Table("Best batch and threads of each graph and scope; every row is in throughput.csv.", head, rows)


def torch_table(results: Results) -> Table:
    """Best against best, torch and ONNX Runtime."""
    rows = []
    for (method, role), group in results.comparisons.groupby(["method", "role"], sort=False):
        row = [figures.title(str(method)), str(role)]
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


def cost_table(results: Results) -> Table:
    """What fitting one cell costs."""
    rows = []
    for name in [*results.suite.shared(), *results.suite["methods"]]:
        row = [figures.title(name)]
        for metric in ("fit_seconds", "fit_cpu_seconds", "peak_memory_mib", "training_events_per_second"):
            chosen = results.metric(metric)
            row.append(number(chosen[chosen["method"] == name]["value"].median()))
        notes = results.metric("fit_seconds")
        notes = notes[notes["method"] == name]["note"]
        rows.append([*row, notes.iloc[0] if len(notes) else ""])
    head = ["fit", "seconds", "CPU seconds", "peak memory [MiB]", "training events/s", "device"]
    return Table("Median over cells. Cells ran beside each other, so seconds depend on the load.", head, rows)


def task_table(results: Results) -> Table:
    """Injected and achieved signal of each task."""
    rows = []
    for _, row in results.tasks.iterrows():
        known = "significance" in row and pd.notna(row["significance"])
        counts = [str(int(row["signal_in_window"])), str(int(row["background_in_window"]))] if known else ["n/a", "n/a"]
        rows.append(
            [
                *(str(row[name]) for name in ("window", "injection", "seed", "data_in_range", "data_in_window")),
                *counts,
                f"{row['significance']:.2f}" if known else "n/a",
            ]
        )
    head = ["window", "injection", "seed", "data in range", "data in window", "S in window", "B in window", "S/√B"]
    return Table("What was drawn.", head, rows)


def method_table() -> Table:
    """Every published method for searches in mass, and whether it is here."""
    entries = [(entry, "here") for entry in catalogue.CATALOGUE.values() if not entry.shared and not entry.showers]
    entries += [(entry, "absent") for entry in catalogue.ABSENT.values()]
    rows = [[entry.title, entry.paper or "reference of our own", state] for entry, state in entries]
    return Table(
        "An absent method is not built yet; its absence says nothing about it.", ["method", "paper", "state"], rows
    )


def protocol(results: Results) -> dict[str, str]:
    """What was done, in words, with the suite's own numbers."""
    suite, tasks = results.suite, results.tasks
    first = tasks.iloc[0] if len(tasks) else None
    low, high = suite["mass_range"]
    windows = ", ".join(suite.windows())
    unit = results.mass_unit
    drawn = (
        f"; {suite.content['data_events']} background events drawn for the data of each seed"
        if "data_events" in suite.content
        else ""
    )
    signal = (
        f"{', '.join(map(str, suite.content['injections']))} events injected over the whole mass range, a new random "
        "draw for each seed; numbers achieved in the window are in the table of tasks."
        if suite.labelled
        else "The events are taken as they are; their labels are not known."
    )
    kind = suite["classifier"].get("kind", "trees")
    narrowed = " CWoLa narrows them to strips beside the window." if "cwola" in suite["methods"] else ""
    return {
        "events": ("" if first is None else f"{first['dataset']} (sha256 {first['dataset_sha256'][:16]}…)")
        + drawn
        + ".",
        "masses": f"Mass range {low:g}–{high:g} {unit}; signal region {windows} {unit}; sidebands: the rest.{narrowed}",
        "signal": signal,
        "templates": f"{suite['oversampling']} times the signal-region data, at their masses; one draw for all.",
        "classifier": f"{kind}, the same for every method, set to {suite['classifier'] or 'its defaults'}.",
    }


def _overlays(results: Results, window: str, injection: str) -> Iterator[Picture]:
    seed = next(iter(results.suite.seeds(injection)))
    folder = results.folder / window / injection / seed
    if not (folder / "task.h5").exists():
        return
    the_task = task.read(folder / "task.h5")
    truth = background(the_task)
    if truth is None:
        return
    for name in results.suite["methods"]:
        path = folder / name / "template.h5"
        if path.exists():
            caption = f"{figures.title(name)}, {window} {injection} {seed}: features with pulls (band: ± 2)."
            yield Picture(f"features_{window}_{name}", caption, figures.overlays(the_task, path, truth, name))


def _draw_cell(results: Results, cell: Cell, folder: Path) -> None:
    """The figure that goes to the cell's own run in MLflow."""
    place = vars(cell)
    values = results.curves[(results.curves[list(place)] == list(place.values())).all(axis=1)]["sic"].tolist()
    if values:
        folder.mkdir(parents=True, exist_ok=True)
        figures.cell_curve(values, cell.method).savefig(folder / f"{cell.folder.replace('/', '_')}_sic.png", dpi=80)


def _sic_text(results: Results) -> str:
    return (
        "SIC = ε_S/√ε_B on test events that no fit has seen; all scores come from ONNX Runtime. Max SIC is taken where "
        "1/√(ε_B N_B) < 0.2 with the actual number N_B of test background events; SIC at ε_B = 10⁻³ is n/a where fewer "
        "than 25 of them pass. Ratios are paired: both methods saw the same draw. The spread over draws is the band; a "
        "Poisson bootstrap of the test events stands beside each run in results.csv. The idealised detector has true "
        "background for a template, the supervised classifier true labels; CWoLa takes the sidebands as they are."
    )


def _closure_text(results: Results) -> str:
    few = results.numbers["note"].str.extract(r"^(\d+) events a side")[0].dropna().astype(int)
    text = (
        f"A fixed boosted-tree classifier, {closure.FOLDS}-fold, is trained to tell the template from true "
        "background in the window, on all features together. An AUC of 0.5 means that it cannot."
    )
    if not results.suite.labelled:
        text += (
            " Without labels the true background is known in sideband validation windows alone, where the data are "
            "taken for background; the signal region is left out of the fits there, and has no closure of its own."
        )
    if len(few) and few.min() < closure.LEAST_EVENTS:
        text += (
            f" With {few.min()} events a side, fewer than the {closure.LEAST_EVENTS} of the protocol, small failures "
            "go unseen."
        )
    return text


def _speed_text(results: Results) -> str:
    seconds = results.timings["seconds_asked"].iloc[0]
    return (
        "MLPerf's Offline scenario: warm-up apart, at least 10 repeats, median with 10th and 90th percentile, provider "
        "asserted, nothing else running. graph: inputs and outputs bound on the device; host: numpy to numpy; file: "
        f"draws or reading, graph, and HDF5 written. Each row was timed for about {seconds:g} s. The last column holds "
        "a graph's matrix products against ONNX Runtime's own MatMul rate in the same run; splines and trees are "
        "mostly other work. Tree ensembles run on the CPU provider only."
    )


def _cost_text() -> str:
    return "Seconds on the clock and of processor time, template drawing and classifier included."

"""Tables of a search: SIC, closure, excess, what was drawn, and the published methods."""

from typing import Any

import numpy as np
import pandas as pd

from sideband.benchmarks import catalogue
from sideband.benchmarks.metrics import sic as metric
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Table, banded, number
from sideband.benchmarks.report.results import Results


def _over(results: Results) -> str:
    """How many draws the numbers of a table summarise, and how."""

    def over(draws: int) -> str:
        return f"median ({metric.median_and_band([0.0] * draws)[3]}) of {draws} draws" if draws > 1 else "one draw"

    draws = {injection: over(len(results.suite.seeds(injection))) for injection in results.suite.injections()}
    if len(set(draws.values())) == 1:
        return next(iter(draws.values()))
    return "; ".join(f"{injection}: {text}" for injection, text in draws.items())


def sic(results: Results, window: str) -> Table:
    """Both numbers of every method and injection, with ratios to the idealised detector, paired by draw."""
    rows = []
    reference = "iad" in results.suite["methods"]
    for injection, injected in results.suite.injections().items():
        for name in results.suite["methods"]:
            at_point = results.values("sic_1e-3", name, injection, window)
            largest = results.values("max_sic", name, injection, window)
            row = [injection, style.title(name), banded(list(at_point.values())), banded(list(largest.values()))]
            if reference and injected == 0:
                row.append("no signal")
            elif reference:
                ideal = results.values("sic_1e-3", "iad", injection, window)
                row.append(banded(metric.paired_ratio(list(at_point.values()), list(ideal.values()))))
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


def closure(results: Results, window: str) -> Table:
    """Closure AUC of each template, with the floor and the control."""
    rows = []
    for injection in results.suite.injections():
        for name in results.suite["methods"]:
            found = results.values("closure_auc", name, injection, window)
            if np.isfinite(list(found.values())).any():
                rows.append([injection, style.title(name), banded(list(found.values()), 4)])
    for name, label in (("closure_floor", "truth against truth"), ("closure_sidebands", "raw sidebands")):
        chosen = results.metric(name)
        for _, row in chosen[chosen["window"] == window].iterrows():
            error = row["high"] - row["value"]
            rows.append(["", label, f"{row['value']:.4f} ± {error:.4f} ({row['note']})"])
    return Table(f"{window}: closure AUC, {_over(results)}.", ["injection", "sample", "AUC"], rows)


def excess(results: Results) -> Table:
    """Observed and expected events of every cut."""
    chosen = results.numbers[results.numbers["metric"].str.startswith("excess_")]
    rows: list[dict[Any, Any]] = chosen.to_dict("records")
    content = [
        [
            *(str(row[name]) for name in ("window", "injection", "seed")),
            style.title(str(row["method"])),
            str(row["metric"]).removeprefix("excess_"),
            str(row["note"]),
            number(row["value"]),
        ]
        for row in rows
    ]
    head = ["window", "injection", "seed", "method", "template efficiency", "events", "Z"]
    return Table("Excess above each cut.", head, content)


def drawn(results: Results) -> Table:
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


def published() -> Table:
    """Every published method for searches in mass, and whether it is here."""
    here = [entry for entry in catalogue.CATALOGUE.values() if entry.problem == "search" and not entry.shared]
    entries = [*((entry, "here") for entry in here), *((entry, "absent") for entry in catalogue.ABSENT.values())]
    rows = [[entry.title, entry.paper or "reference of our own", state] for entry, state in entries]
    return Table(
        "An absent method is not built yet; its absence says nothing about it.", ["method", "paper", "state"], rows
    )

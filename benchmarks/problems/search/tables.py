"""Tables of a search: SIC, closure, what was drawn, and the published methods."""

import numpy as np
import pandas as pd

from sideband.benchmarks import catalogue
from sideband.benchmarks.metrics import sic as metric
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Table, banded, number
from sideband.benchmarks.report.results import Results


def _over(results: Results) -> str:
    """How many draws the numbers of a table summarise, and how."""
    suite = results.suite
    draws = {injection: labels.draws(len(suite.seeds(injection))) for injection in suite.injections()}
    if len(set(draws.values())) == 1:
        return next(iter(draws.values()))
    return "; ".join(f"{labels.injected(suite, injection)}: {text}" for injection, text in draws.items())


def sic(results: Results, window: str) -> Table:
    """Both numbers of every method and injection, with ratios to the idealised detector, paired by draw."""
    rows = []
    reference = "iad" in results.suite["methods"]
    for injection, injected in results.suite.injections().items():
        for name in results.suite["methods"]:
            at_point = results.values("sic_1e-3", name, injection, window)
            largest = results.values("max_sic", name, injection, window)
            row = [labels.count(results.suite, injection), labels.title(results, name)]
            row += [labels.spread(list(values.values())) for values in (at_point, largest)]
            if reference and injected == 0:
                row.append("no signal")
            elif reference:
                ideal = results.values("sic_1e-3", "iad", injection, window)
                row.append(banded(metric.paired_ratio(list(at_point.values()), list(ideal.values()))))
            row.append("  ".join(number(value) for value in at_point.values()))
            rows.append(row)
    head = [
        labels.INJECTED,
        "method",
        "SIC at 10⁻³",
        "max SIC",
        *(["ratio to idealised"] if reference else []),
        "every run",
    ]
    return Table(f"{labels.window(results, window)}: {_over(results)}.", head, rows)


def closure(results: Results, window: str) -> Table:
    """Closure AUC of each template, and of each latent space, with the floor and the control."""
    rows = []
    for injection in results.suite.injections():
        for name in results.suite["methods"]:
            for auc, where in (("closure_auc", ""), ("latent_closure_auc", ", latent space")):
                found = results.values(auc, name, injection, window)
                if np.isfinite(list(found.values())).any():
                    place = labels.count(results.suite, injection)
                    rows.append([place, style.title(name) + where, labels.spread(list(found.values()), 4)])
    for name, label in (("closure_floor", "truth against truth"), ("closure_sidebands", "raw sidebands")):
        chosen = results.metric(name)
        for _, row in chosen[chosen["window"] == window].iterrows():
            error = row["high"] - row["value"]
            rows.append(["", label, f"{row['value']:.4f} ± {error:.4f} ({row['note']})"])
    return Table(
        f"{labels.window(results, window)}: closure AUC, {_over(results)}.", [labels.INJECTED, "sample", "AUC"], rows
    )


def drawn(results: Results) -> Table:
    """Injected and achieved signal of each task."""
    rows = []
    for _, row in results.tasks.iterrows():
        known = "significance" in row and pd.notna(row["significance"])
        counts = (
            [f"{int(row[f'{kind}_in_window']):,}" for kind in ("signal", "background")] if known else ["n/a", "n/a"]
        )
        rows.append(
            [
                *(labels.window(results, row["window"]), labels.count(results.suite, row["injection"])),
                *(row["seed"], *(f"{row[name]:,}" for name in ("data_in_range", "data_in_window"))),
                *counts,
                f"{row['significance']:.2f}" if known else "n/a",
            ]
        )
    head = ["window", labels.INJECTED, "seed", "data in range", "data in window", "S in window", "B in window"]
    return Table("What was drawn.", [*head, "S/√B in window"], rows)


def published() -> Table:
    """Every method for searches in mass, with its paper."""
    entries = [entry for entry in catalogue.CATALOGUE.values() if entry.problem == "search" and not entry.shared]
    rows = [[entry.title, entry.paper or "reference of our own"] for entry in entries]
    return Table("Every method that a suite of this problem may list.", ["method", "paper"], rows)

"""Tables of a suite of showers: AUC and SIC of every sample, what was learned from what, closure, exports and tasks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.showers.draw import TRAINED_ON
from sideband.benchmarks.problems.showers.panels import Values, decays, masses
from sideband.benchmarks.report import records, style
from sideband.benchmarks.report.content import Table, banded, number
from sideband.benchmarks.report.results import Results
from sideband.benchmarks.simulate.showers.decays import MASSES
from sideband.infer import events

LIKELIHOODS = ("caloflow", "caloflow_released")  # the files of methods whose scores are made of log-likelihoods
PHOTONS = {"all": "", "matched": "matched_"}  # the reference of an AUC or SIC, and how their metrics begin


def first_seed(results: Results) -> Path:
    """The folder of the first seed's task."""
    return results.folder / results.suite.timed()[0].task


def sensitivity(results: Results) -> Iterator[Table]:
    """The means of each mass, then AUC and SIC of every sample, a pair of tables a mass."""
    if not Values(results, "auc").methods(results):
        return
    yield transfer(results)
    for mass in masses(decays(results)):
        yield _of_samples(results, mass, "auc", f"{mass:g} GeV: AUC.")
        caption = f"{mass:g} GeV: SIC, at the ε_B that is achieved for {sic.WORKING_POINT:g}."
        yield _of_samples(results, mass, "sic", caption)


def transfer(results: Results) -> Table:
    """Mean matched AUC over the fixed depths of each mass, and what each method has learned from."""
    values, fixed = Values(results, "matched_auc"), [each for each in decays(results) if each.depth is not None]
    columns = masses(fixed)
    rows = []
    for name in results.suite["methods"]:
        row = [style.title(name)]
        for mass in columns:
            runs = np.array([values.of(name, each) for each in fixed if each.mass == mass])  # depths x seeds
            # A depth may have no photons of its energy.
            means = [column[np.isfinite(column)].mean() if np.isfinite(column).any() else np.nan for column in runs.T]
            row.append(_area(means))
        rows.append([*row, learned_from(results.suite, name)])
    head = ["method", *(f"{mass:g} GeV" for mass in columns), "learned from"]
    return Table("Matched AUC, mean over the depths of each mass.", head, rows)


def learned_from(suite: Suite, method: str) -> str:
    """What the fits that a score stands on have seen."""
    needs = {need: catalogue.get(need) for need in catalogue.get(method).needs}
    seen = ["photons"] if needs else []
    for need, entry in needs.items():
        if entry.truth:
            # The fit's own default is the heaviest.
            mass = suite.settings(need).get("mass", entry.preset.get("mass", max(MASSES)))
            seen.append(f"decays of {mass:g} GeV, {TRAINED_ON:g} ns")
    return ", ".join(seen) or "nothing"


def _of_samples(results: Results, mass: float, metric: str, caption: str) -> Table:
    names = Values(results, metric).methods(results)
    found = {photons: Values(results, f"{key}{metric}") for photons, key in PHOTONS.items()}
    notes = {photons: Values(results, f"{key}{metric}", "note") for photons, key in PHOTONS.items()}
    rows = []
    for each in decays(results):
        for photons in PHOTONS if each.mass == mass else ():
            values = [found[photons].of(name, each) for name in names]
            cells = [(_area if metric == "auc" else banded)(one) for one in values]
            if metric == "sic":
                achieved = (_achieved(notes[photons].of(name, each)) for name in names)
                cells = [f"{cell} at {at}" if at else cell for cell, at in zip(cells, achieved, strict=True)]
            rows.append([each.name.partition(", ")[2], photons, *cells])
    return Table(caption, ["decay", "photons", *map(style.title, names)], rows)


def _area(values: list[float]) -> str:
    """Median and band of AUCs, with three decimals wherever they lie."""
    median, low, high, _ = sic.median_and_band(values)
    if not np.isfinite(median):
        return "n/a"
    return f"{median:.3f}" + (f" ({low:.3f}–{high:.3f})" if len(values) > 1 else "")


def _achieved(notes: list[str]) -> str:
    """The median of the ε_B that the notes of SICs end in; "" where no cut has enough photons."""
    found = np.array([note.rsplit(" ", 1)[1] for note in notes], float)
    return number(sic.median_and_band(found.tolist())[0], 2) if np.isfinite(found).any() else ""


def closure(results: Results) -> Iterator[Table]:
    """AUC of a classifier between generated and true photons, with the floor."""
    cell = results.suite.timed()[0]
    rows = []
    for name in results.methods(results.metric("closure_auc")):
        both = (results.values(key, name, cell.injection, cell.window) for key in ("closure_auc", "closure_shape_auc"))
        rows.append([maker(name), *(banded(list(found.values()), 4) for found in both)])
    for _, row in results.metric("closure_floor").iterrows():
        error = row["high"] - row["value"]
        rows.append(["photons against photons", f"{row['value']:.4f} ± {error:.4f} ({row['note']})", ""])
    if rows:
        yield Table("Closure AUC.", ["showers", "all voxels", "layers, hits, largest shares"], rows)


def exported(results: Results) -> Table:
    """The spread and the rounding of the first seed's likelihoods in ONNX."""
    rows = []
    for name in results.suite["methods"]:
        entry, path = catalogue.get(name), first_seed(results) / name / "export.json"
        if (entry.file or name) not in LIKELIHOODS or not path.exists():
            continue
        kind = {**entry.preset, **results.suite.settings(name)}.get("score")
        for part in records.read(path):
            if part["role"] in ("score", "density"):
                unit = "deviations" if kind == "two-sided" else "nats"
                cells = (number(value, 2) for value in (part["spread"], part["drift"], part["drift"] / part["spread"]))
                rows.append([style.title(name), part["role"], unit, *cells])
    head = ["method", "graph", "unit", "spread", "largest difference", "of the spread"]
    return Table("Float32 in ONNX Runtime against float64 in torch, first seed.", head, rows)


def drawn(results: Results) -> Table:
    """How many showers each task has, and their energies."""
    rows = []
    for _, row in results.tasks.iterrows():
        path = results.folder / row["window"] / row["injection"] / row["seed"] / "task.h5"
        test, learned = events.read(path, ["energy", "sample"], "test"), events.read(path, ["mass"], "reference")
        number = test["sample"].astype(int)
        photons, signal = test["energy"][number == 0], test["energy"][number > 0]
        rows.append(
            [
                row["seed"],
                f"{row['photons']:,}",
                f"{len(photons):,}",
                _range(photons, "g"),
                str(len(decays(results))),
                _range(np.bincount(number)[1:], ",d"),
                _range(signal, "g"),
                _range(np.unique(learned["mass"], return_counts=True)[1], ",d"),
            ]
        )
    head = ["seed", "photons fitted", "test photons", "their energies [GeV]", "samples of decays", "decays of each"]
    return Table("What was drawn.", [*head, "χ energies [GeV]", "decays of each mass to learn from"], rows)


def _range(values: NDArray[Any], form: str) -> str:
    low, high = (f"{round(end, 1) if form == 'g' else end:{form}}" for end in (values.min(), values.max()))
    return low if low == high else f"{low}–{high}"


def published() -> Table:
    """Every method for showers, and its paper."""
    entries = [entry for entry in catalogue.CATALOGUE.values() if entry.problem == "showers" and not entry.shared]
    rows = [[entry.title, entry.paper or "reference of our own", "yes" if entry.truth else "no"] for entry in entries]
    return Table("Those of this benchmark.", ["method", "paper", "knows decays"], rows)


def maker(method: str) -> str:
    """What makes a method's showers: its title without that of its score."""
    return style.title(method).partition(",")[0]

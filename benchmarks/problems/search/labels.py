"""What figures and tables of a search call things: how much was injected, where, in how many draws, and by whom."""

from collections.abc import Iterable, Sequence

import numpy as np

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.report.content import banded
from sideband.benchmarks.report.results import Results

INJECTED = "injected over all masses"


def injected(suite: Suite, injection: str) -> str:
    """How much signal an injection has, in words."""
    number = suite.injections()[injection]
    if number is None:
        return "events as they are"
    return f"{number:,} {INJECTED}" if number else "no signal injected"


def count(suite: Suite, injection: str) -> str:
    """The same for a column headed `INJECTED`."""
    number = suite.injections()[injection]
    return "as they are" if number is None else f"{number:,}"


def briefly(suite: Suite, injection: str) -> str:
    """The same for the head of a column, beside a text that says it in full."""
    return injected(suite, injection).removesuffix(" over all masses")


def window(results: Results, name: str) -> str:
    """A window with its unit, or the name of a named task."""
    edges = results.suite.windows()[name]
    if edges is None or "tasks" in results.suite.content:
        return name
    return f"{edges[0]:g}–{edges[1]:g} {results.mass_unit}".rstrip()


def ordered(suite: Suite, windows: Iterable[str]) -> list[str]:
    """Windows from low to high masses; named tasks in the suite's order."""
    edges = suite.windows()
    return list(windows) if "tasks" in suite.content else sorted(windows, key=lambda name: edges[name] or (0.0, 0.0))


def strength(results: Results, injection: str, place: str) -> str:
    """How much was injected, and the median S/√B that it has in a window."""
    text, rows = injected(results.suite, injection), results.tasks
    rows = rows[(rows["injection"] == injection) & (rows["window"] == place)]
    if "significance" not in rows or rows.empty or not results.suite.injections()[injection]:
        return text
    here = window(results, place)
    return f"{text}, S/√B = {rows['significance'].median():.2g} in {here}"


def draws(number: int) -> str:
    """How numbers of several draws are summarised."""
    return f"median ({sic.median_and_band([0.0] * number)[3]}) of {number} draws" if number > 1 else "one draw"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median and band of the draws that have a value, and how many they are where some have none."""
    there = int(np.isfinite(values).sum())
    return banded(list(values), digits) + (f" [{there} of {len(values)} draws]" if 0 < there < len(values) else "")


def main_window(results: Results, injection: str) -> str:
    """The signal region with the most signal for its background, the first where that is not known."""
    regions, rows = suites.regions(results.suite), results.tasks
    rows = rows[(rows["injection"] == injection) & rows["window"].isin(regions)]
    if "significance" not in rows or not rows["significance"].notna().any():
        return regions[0]
    return str(rows.groupby("window")["significance"].median().idxmax())


def title(results: Results, method: str) -> str:
    """A method's title; an idealised detector with more background than templates have is over-idealised."""
    text = catalogue.get(method).title
    if background_given(results, method) > results.suite["oversampling"]:
        return f"Over-{text[0].lower()}{text[1:]}"
    return text


def background_given(results: Results, method: str) -> float:
    """The most true background that a reference was given, in units of the window's data; NaN for every other method.

    Templates have as many events as the suite's oversampling says, in the same units.
    """
    place = ["window", "injection", "seed"]
    rows = results.metric("background_events")
    rows = rows[rows["method"] == method]
    if rows.empty or results.tasks.empty:
        return float("nan")
    both = rows.merge(results.tasks[[*place, "data_in_window"]], on=place)
    return float((both["value"] / both["data_in_window"]).max())

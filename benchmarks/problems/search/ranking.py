"""The order of methods by sensitivity at one injection, and which of its steps the draws can tell."""

import string
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from sideband.benchmarks import catalogue
from sideband.benchmarks.metrics import paired, sic
from sideband.benchmarks.metrics.paired import Paired
from sideband.benchmarks.problems.search import labels
from sideband.benchmarks.report.content import Table
from sideband.benchmarks.report.results import Results

QUANTITIES = {"sic_1e-3": "SIC at 10⁻³", "max_sic": "max SIC"}  # the second if too few test events pass for the first


@dataclass(frozen=True)
class Ranking:
    """Methods by falling median sensitivity.

    Args:
        results: the results; injection, window: the place in the grid.
        quantity: what is compared, one of `QUANTITIES`.
        values: its value in every draw, by method; only methods that have any.
    """

    results: Results
    injection: str
    window: str
    quantity: str
    values: dict[str, list[float]]

    @cached_property
    def pairs(self) -> dict[tuple[str, str], Paired]:
        """Every method against every other one."""
        found = {}
        for one, other in combinations(self.values, 2):
            found[one, other] = paired.paired(self.values[one], self.values[other])
            found[other, one] = paired.paired(self.values[other], self.values[one])
        return found

    @cached_property
    def groups(self) -> list[list[str]]:
        """The largest groups of methods of which no two are told apart."""
        return paired.groups(list(self.values), [pair for pair, each in self.pairs.items() if each.told_apart])

    @property
    def place(self) -> str:
        """Where the ranking is made."""
        return labels.strength(self.results, self.injection, self.window)

    @property
    def draws(self) -> int:
        """How many draws there are."""
        return len(self.results.suite.seeds(self.injection))

    @property
    def enough(self) -> bool:
        """Whether so many draws can tell any two methods apart."""
        return Paired(self.draws, self.draws).told_apart

    def best(self, but: str = "") -> str | None:
        """The first method that needs no truth."""
        return next((name for name in self.values if name != but and not catalogue.get(name).truth), None)

    def value(self, method: str) -> str:
        """Median and band of a method."""
        return labels.spread(self.values[method]) if method in self.values else "n/a"

    def letters(self, method: str) -> str:
        """The groups of a method, a letter each."""
        return " ".join(_letter(place) for place, group in enumerate(self.groups) if method in group) or "n/a"

    def against_best(self, method: str) -> str:
        """The probability that a method beats the best other one that needs no truth."""
        other = self.best(but=method)
        if method not in self.values or other is None:
            return "n/a"
        return f"{_probability(self.pairs[method, other])} ({labels.title(self.results, other)})"

    def matrix(self) -> Table:
        """The probability of every method to beat every other one."""
        rows = [
            [labels.title(self.results, one)]
            + ["" if one == other else _probability(self.pairs[one, other]) for other in self.values]
            for one in self.values
        ]
        caption = (
            f"{self.place}: probability that the row beats the column in {QUANTITIES[self.quantity]}, and draws won of "
            f"draws that either won. Told apart: above {paired.LEVEL:g} or below {1 - paired.LEVEL:.2g}."
        )
        return Table(caption, ["", *(labels.title(self.results, name) for name in self.values)], rows)

    def text(self) -> str:
        """The best method, and those that the draws cannot tell from it."""
        best = self.best()
        if best is None:
            return f"{self.place}: no method that needs no truth has a value yet."
        text = (
            f"{self.place}: of the methods that need no truth, {labels.title(self.results, best)} has the largest "
            f"median {QUANTITIES[self.quantity]}, {self.value(best)}."
        )
        if not self.enough:
            some = f"{self.draws} draws" if self.draws > 1 else "One draw"
            return f"{text} {some} cannot tell any two methods apart, whatever the numbers."
        rivals = [other for other in self.values if other != best and not self.pairs[best, other].told_apart]
        named = "; ".join(labels.title(self.results, name) for name in rivals if not catalogue.get(name).truth)
        return f"{text} The {self.draws} draws cannot tell it from {named or 'no other of these'}."


def of(results: Results) -> list[Ranking]:
    """The rankings at the smallest and at the largest injection with signal; none where nobody knows the signal."""
    injections = {name: injected for name, injected in results.suite.injections().items() if injected}
    ordered = sorted(injections, key=lambda name: injections[name])
    return [found for name in dict.fromkeys([*ordered[:1], *ordered[-1:]]) if (found := _ranking(results, name)).values]


def _ranking(results: Results, injection: str) -> Ranking:
    window = labels.main_window(results, injection)
    values: dict[str, list[float]] = {}
    for quantity in QUANTITIES:
        every = {
            name: list(results.values(quantity, name, injection, window).values()) for name in results.suite["methods"]
        }
        values = {name: some for name, some in every.items() if np.isfinite(some).any()}
        if values:
            break
    ordered = sorted(values, key=lambda name: -sic.median_and_band(values[name])[0])
    return Ranking(results, injection, window, quantity, {name: values[name] for name in ordered})


def _letter(place: int) -> str:
    return string.ascii_lowercase[place] if place < len(string.ascii_lowercase) else str(place + 1)


def _probability(found: Paired) -> str:
    return f"{found.probability:.3f} ({found.wins} of {found.draws})"

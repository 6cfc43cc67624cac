"""Which of two methods is better, from draws that both have seen, and which methods the draws cannot tell apart."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEVEL = 0.95  # the probability from which on two methods are told apart


@dataclass(frozen=True)
class Paired:
    """One method against another on the same draws: draws that it won, and draws that either won."""

    wins: int
    draws: int

    @property
    def probability(self) -> float:
        """The probability that it wins more draws than it loses.

        Exact, and free of any assumption on the spread: with a flat prior on the share of draws that it wins, the
        posterior probability that this share is above one half, P(Binomial(draws + 1, ½) ≤ wins).

        >>> Paired(8, 8).probability, Paired(4, 8).probability, Paired(0, 0).probability
        (0.998046875, 0.5, 0.5)
        """
        trials = self.draws + 1
        return sum(math.comb(trials, number) for number in range(self.wins + 1)) / 2**trials

    @property
    def told_apart(self) -> bool:
        """Whether the draws say which of the two is better."""
        return not 1 - LEVEL < self.probability < LEVEL


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Compare draw by draw; ties, and draws that either lacks (NaN), do not count."""
    pairs = list(zip(ours, theirs, strict=True))
    wins = sum(a > b for a, b in pairs)
    return Paired(wins, wins + sum(a < b for a, b in pairs))


def groups(names: Sequence[str], apart: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The largest groups of names of which no two are told apart, in the order of the names; a name may be in several.

    >>> groups(["a", "b", "c"], [("a", "c")])
    [['a', 'b'], ['b', 'c']]
    """
    found = [frozenset(names)]
    for pair in apart:
        split = [[group - {one} for one in pair] if group >= {*pair} else [group] for group in found]
        parts = dict.fromkeys(part for parts in split for part in parts)
        found = [part for part in parts if not any(part < other for other in parts)]
    ordered = [[name for name in names if name in group] for group in found]
    return sorted(ordered, key=lambda group: [names.index(name) for name in group])

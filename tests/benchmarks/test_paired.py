import math
from fractions import Fraction

import numpy as np
import pytest

from sideband.benchmarks.metrics.paired import Paired, groups, paired


@pytest.mark.parametrize(("wins", "draws"), [(0, 0), (1, 1), (3, 3), (7, 8), (4, 8), (2, 9)])
def test_the_probability_is_that_of_the_posterior(wins: int, draws: int) -> None:
    """∫ p^w (1 - p)^l over p > 1/2, over the same integral over all p, exactly, term by term of the binomial series."""

    def integral(low: Fraction) -> Fraction:
        losses = draws - wins
        terms = (
            (-1) ** k * math.comb(losses, k) * (1 - low ** (wins + k + 1)) / Fraction(wins + k + 1)
            for k in range(losses + 1)
        )
        return sum(terms, Fraction(0))

    assert Paired(wins, draws).probability == pytest.approx(float(integral(Fraction(1, 2)) / integral(Fraction(0))))


def test_three_draws_tell_nothing_apart_and_eight_do() -> None:
    assert Paired(3, 3).probability == 15 / 16
    assert not Paired(3, 3).told_apart
    assert Paired(8, 8).told_apart
    assert Paired(7, 8).told_apart
    assert not Paired(6, 8).told_apart
    assert Paired(0, 8).told_apart


def test_only_draws_that_one_has_won_count() -> None:
    nan = float("nan")
    assert paired([1.0, 2.0, 3.0, nan, 5.0], [0.0, 2.0, 4.0, 1.0, nan]) == Paired(1, 2)
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [1.0, 2.0])


def test_both_directions_add_up() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        ours, theirs = random.normal(size=(2, 8)).round(1).tolist()
        assert paired(ours, theirs).probability + paired(theirs, ours).probability == pytest.approx(1)


def test_groups_hold_no_pair_that_is_told_apart_and_every_other() -> None:
    random, names = np.random.default_rng(2), list("abcdefgh")
    for share in (0.0, 0.3, 0.7, 1.0):
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        apart = [pair for pair in pairs if random.uniform() < share]
        found = groups(names, apart)
        for a, b in pairs:
            assert any(a in group and b in group for group in found) == ((a, b) not in apart)
        assert not any(set(one) < set(other) for one in found for other in found)

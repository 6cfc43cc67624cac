import numpy as np
import pytest

from sideband.benchmarks.metrics.argos import LEAST_EVENTS, argos


def test_by_hand() -> None:
    template = np.arange(1000, dtype=float)
    data = np.concatenate([template, np.full(50, 989.5)])
    # The cut at 975 passes 25 template events and 75 of 1,050 data; looser ones find less, tighter ones are too few.
    assert argos(data, template) == pytest.approx(75 / 1050 / np.sqrt(0.025) - np.sqrt(0.025))


def test_weights_count_as_events() -> None:
    random = np.random.default_rng(3)
    template, data = random.normal(size=2000), random.normal(0.5, 1, 2000)
    twice = np.concatenate([template, template])
    assert argos(data, template, np.full(2000, 7.0)) == pytest.approx(argos(data, template))
    assert argos(data, twice, np.concatenate([np.ones(2000), np.zeros(2000)])) == pytest.approx(argos(data, template))


def test_too_few_events_or_equal_scores_say_nothing() -> None:
    few = np.arange(LEAST_EVENTS - 1, dtype=float)
    assert argos(few, few) == 0
    same = np.zeros(1000)
    assert argos(same, same) == 0

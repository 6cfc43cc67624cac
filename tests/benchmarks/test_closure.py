import math
from statistics import NormalDist

import numpy as np

from sideband.benchmarks.metrics.closure import WEIGHTS, closure

NUMBER = 4000


def sample(seed: int, shift: float = 0.0) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(NUMBER, 3))
    features[:, 1] += shift
    return features.astype(np.float32)


def test_one_distribution_cannot_be_told_from_itself() -> None:
    found = closure(sample(1), sample(2))
    assert abs(found.auc - 0.5) < 5 / math.sqrt(6 * NUMBER)  # of an AUC between equals
    assert 0 < found.error < 0.03
    assert found.events == NUMBER


def test_a_shift_in_one_feature_gives_nearly_the_optimal_auc() -> None:
    found = closure(sample(1, shift=1.0), sample(2))
    best = NormalDist().cdf(1 / math.sqrt(2))
    assert best - 0.03 < found.auc < best + 0.015


def test_weights_are_those_of_the_held_out_events() -> None:
    alike, apart = closure(sample(1), sample(2)), closure(sample(1, shift=1.0), sample(2))
    for found in (alike, apart):
        assert [sum(counts) for counts in found.weights] == [NUMBER, NUMBER]
    middle = np.sqrt(WEIGHTS[1:] * WEIGHTS[:-1])
    near = (middle > 0.5) & (middle < 2)
    assert np.array(alike.weights)[:, near].sum() > 0.8 * 2 * NUMBER
    assert np.array(apart.weights)[:, near].sum() < 0.6 * 2 * NUMBER
    means = [np.average(np.log(middle), weights=counts) for counts in apart.weights]
    assert means[0] > 0.2 > -0.2 > means[1]  # the first sample is where the ratio to it is large


def test_the_longer_side_is_thinned() -> None:
    found = closure(sample(1), sample(2)[:700], most=5000)
    assert found.events == 700
    few = closure(sample(1), sample(2), most=300, seed=3)
    assert few.events == 300
    assert few == closure(sample(1), sample(2), most=300, seed=3)
    assert few.auc != closure(sample(1), sample(2), most=300, seed=4).auc

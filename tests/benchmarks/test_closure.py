import math
from statistics import NormalDist

import numpy as np
import pytest

from sideband.benchmarks.metrics.closure import WEIGHTS, closure

NUMBER = 4000


def sample(seed: int, shift: float = 0.0) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(NUMBER, 3))
    features[:, 1] += shift
    return features.astype(np.float32)


def test_one_distribution_cannot_be_distinguished_from_itself() -> None:
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


def test_uniform_weights_change_nothing() -> None:
    one, other = sample(1, shift=0.3)[:1500], sample(2)
    plain = closure(one, other)
    for weights in ((np.full(1500, 2.0), None), (np.full(1500, 0.1), np.ones(NUMBER))):
        found = closure(one, other, weights=weights)
        assert found.auc == pytest.approx(plain.auc, abs=2e-3)
        assert found.events == plain.events
        np.testing.assert_allclose(np.sum(found.weights, axis=1), 1500)


def test_only_ratios_of_weights_matter() -> None:
    one, other = sample(1, shift=0.5), sample(2)
    weight = np.random.default_rng(3).uniform(0.5, 2, NUMBER)
    found = [closure(one, other, 1500, weights=(scale * weight, None)).auc for scale in (1.0, 1024.0, 3.7)]
    assert found[0] == found[1]
    assert found[2] == pytest.approx(found[0], abs=2e-3)


def test_weights_close_what_is_apart_and_part_what_is_alike() -> None:
    """Weights exp(x / 2 - 1/8) turn a normal distribution into the one with mean 1/2."""
    one, shifted, other = sample(1), sample(3, shift=0.5), sample(2)
    weight = np.exp(one[:, 1] / 2 - 1 / 8)
    assert closure(shifted, one).auc > 0.58
    assert closure(shifted, one, weights=(None, weight)).auc == pytest.approx(0.5, abs=0.03)
    apart = closure(shifted, other).auc
    assert closure(one, other, weights=(weight, None)).auc == pytest.approx(apart, abs=0.03)


def test_thinned_events_keep_their_weights() -> None:
    one, other = sample(1), sample(2)
    weight = (one[:, 1] > 0).astype(np.float32)  # only the upper half is there
    found = closure(one, other, most=2000, weights=(weight, None))
    assert found.events == 2000
    assert found.auc > 0.7
    np.testing.assert_allclose(np.sum(found.weights, axis=1), 2000)

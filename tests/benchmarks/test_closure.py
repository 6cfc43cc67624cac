import math
from statistics import NormalDist

import numpy as np

from benchmarks.closure import closure

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


def test_the_longer_side_is_thinned() -> None:
    found = closure(sample(1), sample(2)[:700], most=5000)
    assert found.events == 700
    few = closure(sample(1), sample(2), most=300, seed=3)
    assert few.events == 300
    assert few == closure(sample(1), sample(2), most=300, seed=3)
    assert few.auc != closure(sample(1), sample(2), most=300, seed=4).auc

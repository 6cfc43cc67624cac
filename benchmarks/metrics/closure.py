"""Closure: can a fixed classifier distinguish a template from the true background? It cannot if its AUC is 0.5."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

FOLDS = 5
LEAST_EVENTS = 30_000  # per side, for a number to quote

Array = NDArray[np.float32]


# Bin edges of the classifier's weight p / (1 - p); values beyond the ends count in the outermost bins.
WEIGHTS = np.geomspace(0.25, 4, 41)


@dataclass(frozen=True)
class Closure:
    """AUC of the fixed classifier, the error of its mean over the folds, and the number of events per side.

    `weights` counts held-out events of the first and of the second sample in bins of `WEIGHTS`: the classifier's
    estimate of the ratio of the first sample's density to the second's. It is 1 everywhere if the samples are alike.
    """

    auc: float
    error: float
    events: int
    weights: tuple[list[float], list[float]]


def closure(
    one: Array,
    other: Array,
    most: int | None = None,
    seed: int = 0,
    weights: tuple[Array | None, Array | None] = (None, None),
) -> Closure:
    """5-fold AUC of a fixed boosted-tree classifier between two samples, on all features.

    Args:
        one, other: features `[N, d]` and `[M, d]`; the longer sample is thinned to the length of the shorter one.
        most: events per side at most.
        seed: thins, shuffles and seeds the classifier.
        weights: weights `[N]` and `[M]`, which the classifier is trained and tested with. Each side is normalised to
            a mean of 1, so only ratios within a sample matter.

    Returns:
        The mean over folds of the held-out AUCs; the error is their standard deviation over √5.
    """
    random = np.random.default_rng(seed)
    size = min(len(one), len(other), most or len(one))
    rows = [random.permutation(len(sample))[:size] for sample in (one, other)]
    features = np.concatenate([one[rows[0]], other[rows[1]]])
    label = np.repeat([1, 0], size)
    weight = _weight(weights, rows)
    found = []
    held_out = np.empty(2 * size)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, label):
        classifier = HistGradientBoostingClassifier(
            max_iter=100, learning_rate=0.1, early_stopping=False, random_state=seed
        )
        # Cells are evaluated beside each other, and OpenMP's threads wait by spinning: two per process cost minutes.
        with threadpool_limits(1):
            classifier.fit(features[train], label[train], None if weight is None else weight[train])
            held_out[test] = classifier.predict_proba(features[test])[:, 1]
        tested = None if weight is None else weight[test]
        found.append(roc_auc_score(label[test], held_out[test], sample_weight=tested))
    ratio = np.clip(held_out / np.maximum(1 - held_out, 1e-9), WEIGHTS[0], WEIGHTS[-1])
    first, second = (
        np.histogram(ratio[side], WEIGHTS, weights=None if weight is None else weight[side])[0].tolist()
        for side in (label == 1, label == 0)
    )
    return Closure(float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(FOLDS)), size, (first, second))


def _weight(weights: tuple[Array | None, Array | None], rows: list[NDArray[np.int64]]) -> NDArray[np.float64] | None:
    """The weights of the chosen rows of both samples, one after the other; None where neither is weighted."""
    if weights[0] is None and weights[1] is None:
        return None
    sides = [
        np.ones(len(chosen)) if weight is None else weight[chosen].astype(np.float64)
        for weight, chosen in zip(weights, rows, strict=True)
    ]
    return np.concatenate([side / side.mean() for side in sides])

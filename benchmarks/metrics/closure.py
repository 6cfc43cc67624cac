"""Closure: can a fixed classifier tell a template from the true background? An AUC of 0.5 says no."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

FOLDS = 5
LEAST_EVENTS = 30_000  # a side, for a number to quote

Array = NDArray[np.float32]


# Bins of the classifier's weight p / (1 - p); those beyond count in the last ones.
WEIGHTS = np.geomspace(0.25, 4, 41)


@dataclass(frozen=True)
class Closure:
    """AUC of the fixed classifier, its spread over the folds' mean, and the events a side.

    `weights` counts held-out events of the two samples, in turn, in bins of `WEIGHTS`: the classifier's estimate of the
    ratio of the first sample's density to the second's. All lie at 1 where the samples are alike.
    """

    auc: float
    error: float
    events: int
    weights: tuple[list[int], list[int]]


def closure(one: Array, other: Array, most: int | None = None, seed: int = 0) -> Closure:
    """5-fold AUC of a fixed boosted-tree classifier between two samples, on all features.

    Args:
        one, other: features `[N, d]`; the longer sample is thinned to the shorter one's length.
        most: events a side at most.
        seed: thins, shuffles and seeds the classifier.

    Returns:
        The mean over folds of held-out AUCs; the error is their standard deviation over √5.
    """
    random = np.random.default_rng(seed)
    size = min(len(one), len(other), most or len(one))
    sides = [sample[random.permutation(len(sample))[:size]] for sample in (one, other)]
    features = np.concatenate(sides)
    label = np.repeat([1, 0], size)
    found = []
    held_out = np.empty(2 * size)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, label):
        classifier = HistGradientBoostingClassifier(
            max_iter=100, learning_rate=0.1, early_stopping=False, random_state=seed
        )
        # Cells are evaluated beside each other, and OpenMP's threads wait by spinning: two a process cost minutes.
        with threadpool_limits(1):
            classifier.fit(features[train], label[train])
            held_out[test] = classifier.predict_proba(features[test])[:, 1]
        found.append(roc_auc_score(label[test], held_out[test]))
    weight = np.clip(held_out / np.maximum(1 - held_out, 1e-9), WEIGHTS[0], WEIGHTS[-1])
    counts = tuple(np.histogram(weight[label == side], WEIGHTS)[0].tolist() for side in (1, 0))
    return Closure(float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(FOLDS)), size, (counts[0], counts[1]))

"""Cuts on weighted scores, and the number of unweighted events that fluctuate as weighted ones do."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def cut(score: Array, efficiency: float, weight: Array | None = None) -> np.floating[Any]:
    """The cut on scores `[N]` that a fraction of the events passes; an event passes if its score reaches the cut.

    With weights `[N]` it is the tightest cut that passes at least this fraction of the total weight.
    """
    if weight is None:
        return np.quantile(score, 1 - efficiency)
    return -np.quantile(-score, efficiency, weights=weight.astype(np.float64), method="inverted_cdf")


def equivalent(weight: Array) -> float:
    """(Σw)² / Σw², the number of unweighted events with the same relative error; 0 where there is no weight."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0

"""A signal fraction and its 95 % interval, from the log-likelihood at a number of fractions.

The curve is that of "Generator Based Inference" (arXiv:2506.00119): a Gaussian process through the measured points.
There the interval ends where the mean log-likelihood has fallen by ln 2 / N, which holds one parameter with 76 %; half
the 95 % quantile of chi-squared with one degree of freedom is 1.92.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

DROP = 1.92  # of the log-likelihood of all events
FINE = 50  # points of the smooth curve for each one measured
NEAR = 30.0  # log-likelihood below the highest point, up to which the curve is smoothed
LEAST_ERROR = 0.05  # of a point, so that the process can be solved

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Log-likelihood of all events over that of no signal, at rising fractions `[K]`.

    The errors are standard deviations of the differences to the highest point.
    """

    fractions: Array
    gains: Array
    errors: Array

    def joined(self, other: "Curve") -> "Curve":
        """Both curves' points in order, each fraction once."""
        fractions, rows = np.unique(np.append(self.fractions, other.fractions), return_index=True)
        return Curve(fractions, np.append(self.gains, other.gains)[rows], np.append(self.errors, other.errors)[rows])


@dataclass(frozen=True)
class Interval:
    """A fraction with its interval.

    Args:
        fraction: where the curve is highest.
        low, high: ends of the interval; `low` is 0 where the smallest fraction cannot be told from the best one.
        gain: height of the curve at `fraction`.
    """

    fraction: float
    low: float
    high: float
    gain: float


def smooth(curve: Curve, at: Array) -> Array:
    """The log-likelihood at fractions `at` `[L]`: a Gaussian process in the logarithm of the fraction.

    Points far below the highest one are joined by lines: they are in no interval, and their range would stiffen it.
    """
    x, wanted, gains = np.log10(curve.fractions), np.log10(at), curve.gains
    found = np.interp(wanted, x, gains)
    near = gains > gains.max() - NEAR
    if near.sum() < 3:
        return found
    middle, scale = gains[near].mean(), max(float(gains[near].std()), LEAST_ERROR)
    process = GaussianProcessRegressor(
        ConstantKernel(1.0, (1e-1, 1e3)) * RBF(0.2, (0.1, 10.0)),
        alpha=(np.maximum(curve.errors[near], LEAST_ERROR) / scale) ** 2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound is as good
        process.fit(x[near, None], (gains[near] - middle) / scale)
    # Only between neighbours that are both near: elsewhere the process would have to extrapolate.
    owner = np.clip(np.searchsorted(x, wanted, side="right") - 1, 0, len(x) - 2)
    inside = near[owner] & near[owner + 1]
    if inside.any():
        found[inside] = process.predict(wanted[inside, None]) * scale + middle
    return found


def interval(curve: Curve, systematic: float = 0.0) -> Interval:
    """The best fraction and its 95 % interval.

    Args:
        curve: from events that the models have not seen.
        systematic: log-likelihood that the background's own mistakes may gain, by which the line lies lower.
    """
    fine = np.geomspace(curve.fractions[0], curve.fractions[-1], FINE * (len(curve.fractions) - 1) + 1)
    heights = smooth(curve, fine)
    best = int(heights.argmax())
    above = np.flatnonzero(heights >= heights[best] - DROP - systematic)
    low = 0.0 if above[0] == 0 else float(fine[above[0]])
    return Interval(float(fine[best]), low, float(fine[above[-1]]), float(heights[best]))

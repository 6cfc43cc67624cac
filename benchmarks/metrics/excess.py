"""The excess of a window's data over its template, from cross-fitted scores (arXiv:2411.00085)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.metrics import weighted

Array = NDArray[np.floating]

# What significances are called everywhere: with statistical errors only, and with δ_sys as well.
DIRECT, COMPLETE = "z_direct", "z_with_systematic"


@dataclass(frozen=True)
class Excess:
    """Events observed and expected above the cut that passes `efficiency` of the template."""

    efficiency: float
    observed: int
    expected: float
    error: float
    significance: float


def excess(data: Array, template: Array, efficiency: float, weight: Array | None = None) -> Excess:
    """Count data above a cut on the score and compare with what the template predicts.

    Classifiers that did not see an event must have scored it, in both samples. The template is normalised to the
    number of data events, so a signal of one percent lowers the excess by as much.

    Args:
        data: scores `[N]` of the signal-region data.
        template: scores `[M]` of the held-out template.
        efficiency: fraction of the template that passes the cut.
        weight: weights `[M]` of the template.
    """
    cut = weighted.cut(template, efficiency, weight)
    weights = np.ones(len(template)) if weight is None else weight.astype(np.float64)
    above = weights[template >= cut]
    observed = int((data >= cut).sum())
    expected = float(above.sum() / weights.sum() * len(data))
    passing = weighted.equivalent(above)
    error = float(expected / np.sqrt(passing)) if passing else float("nan")
    return Excess(efficiency, observed, expected, error, significance(observed, expected, error))


def relative(observed: float, expected: float, error: float) -> tuple[float, float]:
    """The relative excess of `observed` over `expected` ± `error`, and its statistical error where there is none."""
    return observed / expected - 1, float(np.sqrt(1 / expected + (error / expected) ** 2))


def systematic(counts: Iterable[tuple[float, float, float]]) -> tuple[float, float]:
    """δ_sys, the relative systematic error of a template, from windows without signal; NaN if there is none.

    The code of arXiv:2411.00085 takes the mean relative excess, in which a window with too many events and one with too
    few cancel. A root mean square counts both, and is never less. A few windows with few events can agree with their
    template by luck, so what they cannot resolve counts as error too.

    Args:
        counts: observed, expected and its statistical error above one cut, of each window and draw.

    Returns:
        The root mean square relative excess, or its statistical error if that is larger; and that statistical error,
        as if no two of them share events.

    >>> delta, error = systematic([(120, 100, 0), (80, 100, 0)])
    >>> round(delta, 3), round(error, 3)
    (0.2, 0.071)
    >>> delta, error = systematic([(101, 100, 0)])
    >>> round(delta, 3), round(error, 3)
    (0.1, 0.1)
    """
    found = np.array([relative(*each) for each in counts if each[1] > 0])
    if not len(found):
        return float("nan"), float("nan")
    delta, error = np.sqrt((found**2).mean(axis=0))
    error /= np.sqrt(len(found))
    return float(max(delta, error)), float(error)


def significance(
    observed: float, expected: float, error: float, delta: float = 0.0, windows: float = math.inf
) -> float:
    """Z of `observed` over `expected` ± `error`, negative for a deficit.

    The asymptotic profile-likelihood formula for a counting experiment whose background is known to a Gaussian error
    (G. Cowan, K. Cranmer, E. Gross, O. Vitells, arXiv:1007.1727). A relative systematic error `delta` of the
    expectation is added in quadrature, as in arXiv:2411.00085; the expectation itself stays where the template has it.

    A `delta` from a few windows is itself uncertain, and then large deviations are likelier than a Gaussian has them
    (G. Cowan, arXiv:1809.05778). Their probability is that of Student's t, whose degrees of freedom follow from the
    share of `delta` in the variance (F. Satterthwaite, Biometrics Bulletin 2 (1946) 110); Z is what a Gaussian would
    have at that probability.

    Args:
        observed: events above the cut.
        expected: those that the template expects.
        error: their statistical error.
        delta: the relative systematic error.
        windows: the number of windows it was measured in; infinitely many where it is known.

    >>> round(significance(120, 100, 5), 3)
    1.723
    >>> round(significance(120, 100, 5, delta=0.1), 3)
    1.27
    >>> round(significance(120, 100, 5, delta=0.1, windows=2), 3)
    1.194
    """
    n, b, v = observed, expected, error**2 + (expected * delta) ** 2
    if b <= 0:
        return float("nan")
    if v == 0:
        inside = (n * np.log(n / b) if n else 0.0) - (n - b)
    else:
        first = n * np.log(n * (b + v) / (b**2 + n * v)) if n else 0.0
        inside = first - b**2 / v * np.log1p(v * (n - b) / (b * (b + v)))
    z = float(np.sqrt(max(2 * inside, 0.0)))
    share = (expected * delta) ** 2 / (b + v)
    if z and share and math.isfinite(windows):
        from scipy.special import ndtri, stdtr  # where inference alone is installed, nobody asks for this

        tail = stdtr(windows / share**2, -z)
        z = float(-ndtri(tail)) if tail > 0 else z  # beyond float64's probabilities, Z is beyond any doubt
    return math.copysign(z, n - b)


def probability(z: float) -> float:
    """The one-sided p-value of a significance."""
    return math.erfc(z / math.sqrt(2)) / 2

"""The excess of a window's data over its template, from cross-fitted scores (arXiv:2411.00085)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.metrics import weighted

Array = NDArray[np.floating]


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


def significance(observed: float, expected: float, error: float) -> float:
    """Z of `observed` over `expected` ± `error`, negative for a deficit.

    The asymptotic profile-likelihood formula for a counting experiment whose background is known to a Gaussian error
    (G. Cowan, K. Cranmer, E. Gross, O. Vitells, arXiv:1007.1727).

    >>> round(significance(120, 100, 5), 3)
    1.723
    """
    n, b, v = observed, expected, error**2
    if b <= 0:
        return float("nan")
    if v == 0:
        inside = (n * np.log(n / b) if n else 0.0) - (n - b)
    else:
        first = n * np.log(n * (b + v) / (b**2 + n * v)) if n else 0.0
        inside = first - b**2 / v * np.log1p(v * (n - b) / (b * (b + v)))
    return float(np.sign(n - b) * np.sqrt(max(2 * inside, 0.0)))

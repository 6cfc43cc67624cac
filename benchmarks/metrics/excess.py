"""The excess of a window's data over its template, from cross-fitted scores (arXiv:2411.00085)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Excess:
    """Events observed and expected above the cut that passes `efficiency` of the template."""

    efficiency: float
    observed: int
    expected: float
    error: float
    significance: float


def excess(data: Array, template: Array, efficiency: float) -> Excess:
    """Count data above a cut on the score, against what the template predicts.

    Both samples must be scored by classifiers that did not see them. The template is normalised to the data's number
    of events, so a signal of a percent lowers the excess by as much.

    Args:
        data: scores `[N]` of the signal-region data.
        template: scores `[M]` of the held-out template.
        efficiency: fraction of the template that passes the cut.
    """
    cut = np.quantile(template, 1 - efficiency)
    passing = int((template >= cut).sum())
    observed = int((data >= cut).sum())
    expected = passing / len(template) * len(data)
    error = expected / np.sqrt(passing) if passing else float("nan")
    return Excess(efficiency, observed, expected, error, significance(observed, expected, error))


def significance(observed: float, expected: float, error: float) -> float:
    """Z of `observed` over `expected` ± `error`, negative for a deficit.

    The asymptotic profile-likelihood formula for a counting experiment whose background is known to a Gaussian error
    (G. Cowan, K. Cranmer, E. Gross, O. Vitells, arXiv:1007.1727).
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

"""How well a score finds an excess, judged without labels: ARGOS.

The metric is ε_data/√ε_template - √ε_template, the greatest over all cuts (arXiv:2511.14832). Where a fraction s of the
data is signal, ε_data = ε_template + s (ε_signal - ε_template), and the metric is s times nearly the SIC.
"""

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.metrics.weighted import Array

# Template events, as many as weighted ones are worth, that must pass a cut: the relative error of ε_template is below
# 0.2 then, as in the rule for max SIC. It is ours; with fewer, a few events at the very end decide.
LEAST_EVENTS = 25


def argos(data: Array, template: Array, weight: Array | None = None) -> float:
    """The metric of scores that no event here was trained on; 0 is what a score that knows nothing has.

    Args:
        data, template: scores `[N]` and `[M]`.
        weight: weights `[M]` of the template's events, all one where None.

    >>> template = np.arange(10_000) / 10_000
    >>> data = np.concatenate([template, np.full(100, 2.0)])  # a hundredth of signal, all above every template event
    >>> round(argos(data, template), 3)  # ε_data = 125/10,100 where 25 events pass
    0.198
    """
    order = np.argsort(-template, kind="stable")
    w = np.ones(len(template)) if weight is None else weight[order].astype(np.float64)
    passed, squares = np.cumsum(w), np.cumsum(w**2)
    ends = np.append(template[order][1:] < template[order][:-1], True)  # a cut passes all events of one score
    allowed = ends & (passed**2 >= LEAST_EVENTS * squares)
    if not allowed.any():
        return 0.0
    ours = passed[allowed] / passed[-1]
    cuts = template[order][allowed]
    theirs = 1 - np.searchsorted(np.sort(data), cuts, side="left") / len(data)
    values: NDArray[np.float64] = theirs / np.sqrt(ours) - np.sqrt(ours)
    return float(values.max())

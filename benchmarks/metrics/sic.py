"""Significance improvement characteristic: SIC = ε_S / √ε_B against the background efficiency of a cut on the score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.metrics import weighted

# The two numbers of the protocol.
WORKING_POINT = 1e-3  # background efficiency
LEAST_PASSING = 25  # background events that must pass: 1/sqrt(25) = 20 % relative error, also the limit of the maximum

# Efficiencies that curves are drawn at.
GRID = np.geomspace(1e-4, 1, 161)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Roc:
    """Efficiencies of every distinct cut, from none passing (0, 0) to all passing (1, 1).

    Equal scores pass or fail together. Between two cuts the curve is linear, as a random choice among equal scores
    makes it, so it has a value also at efficiencies that no single cut reaches.
    """

    background: Array
    signal: Array
    n_background: int

    def at(self, efficiency: Array) -> Array:
        """ε_S at the given ε_B; NaN where fewer than `LEAST_PASSING` background events pass."""
        found = np.interp(efficiency, self.background, self.signal)
        return np.where(efficiency * self.n_background >= LEAST_PASSING * (1 - 1e-9), found, np.nan)

    def sic(self, efficiency: Array) -> Array:
        """SIC at the given ε_B; NaN where too few background events pass."""
        return self.at(efficiency) / np.sqrt(efficiency)

    def achieved(self, efficiency: float) -> tuple[float, float]:
        """SIC of the loosest actual cut up to an ε_B, and the ε_B that it achieves.

        Where equal scores leave no such cut with `LEAST_PASSING` background events, the tightest cut that has them.
        """
        enough = np.flatnonzero(self.background * self.n_background >= LEAST_PASSING * (1 - 1e-9))
        if not len(enough):
            return float("nan"), float("nan")
        below = enough[self.background[enough] <= efficiency * (1 + 1e-9)]
        cut = below[-1] if len(below) else enough[0]
        return float(self.signal[cut] / np.sqrt(self.background[cut])), float(self.background[cut])

    @property
    def area(self) -> float:
        """The area under the curve."""
        return float(np.trapezoid(self.signal, self.background)) if self.n_background else float("nan")

    def maximum(self) -> tuple[float, float]:
        """The largest SIC where 1/√(ε_B N_B) ≤ 0.2, and its ε_B; NaN with fewer than 25 background events."""
        allowed = self.background * self.n_background >= LEAST_PASSING * (1 - 1e-9)
        if not allowed.any():
            return float("nan"), float("nan")
        values = self.signal[allowed] / np.sqrt(self.background[allowed])
        best = int(np.argmax(values))
        return float(values[best]), float(self.background[allowed][best])


def roc(score: NDArray[np.floating], label: NDArray[np.integer], weight: Array | None = None) -> Roc:
    """The ROC curve of scores `[N]` (larger is more signal-like) with labels `[N]` (1 = signal) and weights `[N]`.

    With weights, the number of background events is that of as many unweighted ones as fluctuate alike, (Σw)² / Σw².
    The curve is NaN if a class has no events, or only weights of zero.
    """
    return _Sorted(score, label, weight).roc()


class _Sorted:
    """Scores sorted once, for the many curves of a bootstrap."""

    def __init__(self, score: NDArray[np.floating], label: NDArray[np.integer], weight: Array | None = None) -> None:
        order = np.argsort(-score, kind="stable")
        self.is_signal = (label == 1)[order]
        self.last_of_equals = np.append(np.diff(score[order]) != 0, True)
        self.weight = np.ones(len(score)) if weight is None else weight[order].astype(np.float64)
        known = self.weight[self.is_signal].any()
        self.n_background = round(weighted.equivalent(self.weight[~self.is_signal])) if known else 0

    def roc(self, times: Array | float = 1.0) -> Roc:
        """The curve with each event taken `times` as often `[N]`, in the order of falling score."""
        if not self.n_background:
            return Roc(np.array([np.nan]), np.array([np.nan]), 0)
        weight = self.weight * times
        signal = np.append(0.0, np.cumsum(weight * self.is_signal)[self.last_of_equals])
        background = np.append(0.0, np.cumsum(weight * ~self.is_signal)[self.last_of_equals])
        # Of the cuts with one ε_B keep the one with the most signal: interpolation then starts from it.
        keep = np.append(np.diff(background) > 0, True)
        return Roc(background[keep] / background[-1], signal[keep] / signal[-1], self.n_background)


@dataclass(frozen=True)
class Summary:
    """The two numbers and the curve of one set of scores, with their spreads in a Poisson bootstrap of the test set."""

    sic: float
    sic_spread: float
    maximum: float
    maximum_spread: float
    maximum_at: float
    auc: float
    curve: Array


def summarise(
    score: NDArray[np.floating],
    label: NDArray[np.integer],
    seed: int = 0,
    replicas: int = 100,
    weight: Array | None = None,
) -> Summary:
    """SIC at ε_B = 10⁻³, max SIC and the curve on `GRID`; spreads are standard deviations over bootstrap replicas."""
    ordered = _Sorted(score, label, weight)
    central = ordered.roc()
    random = np.random.default_rng(seed)
    points = []
    for _ in range(replicas):
        replica = ordered.roc(random.poisson(1.0, len(score)).astype(float))
        points.append((replica.sic(np.array([WORKING_POINT]))[0], replica.maximum()[0]))
    spread = np.std(points, axis=0)
    maximum, at = central.maximum()
    return Summary(
        float(central.sic(np.array([WORKING_POINT]))[0]),
        float(spread[0]),
        maximum,
        float(spread[1]),
        at,
        central.area,
        central.sic(GRID),
    )


def median_and_band(values: Sequence[float]) -> tuple[float, float, float, str]:
    """Median, lower and upper end, and what they are: 16-84 % from 8 runs on, min-max below."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if not len(finite):
        return float("nan"), float("nan"), float("nan"), "no runs"
    if len(finite) >= 8:
        low, median, high = np.percentile(finite, [16, 50, 84])
        return float(median), float(low), float(high), "16-84 %"
    return float(np.median(finite)), float(finite.min()), float(finite.max()), "min-max"


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ratios draw by draw; NaN where either is missing or the divisor is not positive."""
    return [
        a / b if np.isfinite(a) and np.isfinite(b) and b > 0 else float("nan")
        for a, b in zip(ours, theirs, strict=True)
    ]

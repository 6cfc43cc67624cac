"""Sculpting: how far a cut on a score shapes the mass spectrum of the background (arXiv:2210.14924).

The normalised spectrum after the cut is compared with the one before. The selected events are a subset of the events
before the cut, so the two samples are not independent. If a fraction a of all events passes regardless of mass, a bin
with n events keeps a n of them, with the binomial variance a (1 - a) n = a² n (1 - a) / a. With that variance and one
degree of freedom less than bins (the total is given), a random selection has an expected χ²/ndof of 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.metrics import weighted

EFFICIENCIES = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # of background in the signal region
BINS = 300  # with equal numbers of events before the cut
LEAST_EXPECTED = 5  # events per bin after the cut: there are fewer bins where there would be fewer events
LEAST_BINS = 10  # fewer do not make a spectrum
SHOWN = 0.01  # efficiency of the cut whose spectrum is kept
SHOWN_BINS = 50  # of equal width

Array = NDArray[np.floating]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sculpting:
    """Spectra after cuts, compared with the spectrum before; one entry per efficiency.

    Args:
        efficiencies: fractions of background in the signal region that pass.
        selected: events of all masses that pass.
        bins: bins that were used; 0 where too few events pass.
        chi2: χ²/ndof of the score's selection; NaN where too few events pass, or all.
        random: χ²/ndof of a random selection of as many events.
        edges: edges of `SHOWN_BINS` bins of equal width in mass.
        before: events, or sums of weights, in these bins before the cut.
        after: the same after the cut with efficiency `SHOWN`.
    """

    efficiencies: list[float]
    selected: list[int]
    bins: list[int]
    chi2: list[float]
    random: list[float]
    edges: list[float]
    before: list[float]
    after: list[float]


def sculpting(
    mass: Array, score: Array, inside: NDArray[np.bool_], seed: int = 0, weight: Array | None = None
) -> Sculpting:
    """Compare the background's mass spectrum after cuts on a score with the one before.

    Args:
        mass: masses `[N]` of background events over the whole mass range.
        score: their scores `[N]`; larger is more signal-like.
        inside: which of them `[N]` lie in the signal region; they fix the thresholds.
        seed: of the random selections.
        weight: their weights `[N]`.
    """
    random = np.random.default_rng(seed)
    order = np.argsort(mass)
    mass, score, inside = mass[order], score[order], inside[order]
    weights = np.ones(len(mass)) if weight is None else weight[order].astype(np.float64)
    selected, bins, chi2, reference = [], [], [], []
    for efficiency in EFFICIENCIES:
        passes = score >= weighted.cut(score[inside], efficiency, None if weight is None else weights[inside])
        chosen = np.zeros(len(mass), dtype=bool)
        chosen[random.permutation(len(mass))[: passes.sum()]] = True
        edges = _edges(mass, weights, weighted.equivalent(weights[passes]))
        selected.append(int(passes.sum()))
        bins.append(max(len(edges) - 1, 0))
        chi2.append(chi2_per_ndof(mass, weights, passes, edges))
        reference.append(chi2_per_ndof(mass, weights, chosen, edges))
    shown = score >= weighted.cut(score[inside], SHOWN, None if weight is None else weights[inside])
    edges = np.linspace(mass[0], mass[-1], SHOWN_BINS + 1)
    before, after = (
        np.histogram(mass[rows], edges, weights=weights[rows])[0].tolist() for rows in (slice(None), shown)
    )
    return Sculpting(list(EFFICIENCIES), selected, bins, chi2, reference, edges.tolist(), before, after)


def chi2_per_ndof(mass: Array, weight: Array, passes: NDArray[np.bool_], edges: Floats) -> float:
    """χ²/ndof between the spectrum of the events that pass and that of all events, in bins of mass.

    With weights, n is replaced by the sum of weights in the contents, and by the sum of their squares in the variance.
    """
    if len(edges) < 3:
        return float("nan")
    before, squares = (np.histogram(mass, edges, weights=values)[0] for values in (weight, weight**2))
    after = np.histogram(mass[passes], edges, weights=weight[passes])[0]
    share = after.sum() / before.sum()
    if share == 1:
        return float("nan")
    used = squares > 0
    variance = share * (1 - share) * squares[used]
    return float(((after - share * before)[used] ** 2 / variance).sum() / (used.sum() - 1))


def pulls(before: Floats, after: Floats) -> Floats:
    """By how many standard deviations each bin differs from a random selection of as many events; 0 in empty bins.

    Args:
        before: events `[bins]` before the cut.
        after: those of them that pass.
    """
    share = after.sum() / max(before.sum(), 1)
    spread = np.sqrt(share * (1 - share) * before)
    return np.divide(after - share * before, spread, out=np.zeros(len(before)), where=spread > 0)


def _edges(mass: Array, weight: Floats, passing: float) -> Floats:
    """Edges of equally populated bins of rising masses, as many as `passing` events fill; none if they fill too few."""
    bins = min(BINS, int(passing) // LEAST_EXPECTED)
    if bins < LEAST_BINS:
        return np.empty(0)
    share = np.cumsum(weight)
    inner = np.searchsorted(share, np.arange(1, bins) / bins * share[-1])
    return np.unique(mass[[0, *inner, -1]]).astype(np.float64)

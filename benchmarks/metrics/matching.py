"""Weights that give photons and a signal the same deposited energies, so that energy alone cannot tell them apart."""

import numpy as np
from numpy.typing import NDArray

BINS = 30  # equal bins of the signal's deposited energy; fewer where there are few photons
SHARED = 20  # photons per bin, on average
TAILS = 0.005  # fraction of the signal left out on either side: single events would make the bins wide
LEAST = 5  # photons per bin; a bin with fewer gets no weight, because its signal has no background to compare with

Weights = NDArray[np.float64]
Values = NDArray[np.floating]


def matched_weights(
    photons: Values, signal: Values, weights: tuple[Values | None, Values | None] = (None, None)
) -> tuple[Weights, Weights]:
    """Weights of photons that give their deposited energies the signal's distribution, and of the signal they cover.

    Args:
        photons: deposited energies `[N]`.
        signal: deposited energies `[S]`, in the same unit.
        weights: weights `[N]` and `[S]` that the events have already.

    Returns:
        Weights of the photons `[N]`, of mean 1, and of the signal `[S]`: its own (or 1) where there are photons of its
        energy, else 0. All are 0 where the two samples have no energies in common.
    """
    of_photons, of_signal = weights
    if of_signal is None:
        low, high = np.quantile(signal, [TAILS, 1 - TAILS])
    else:
        low, high = np.quantile(signal, [TAILS, 1 - TAILS], weights=of_signal, method="inverted_cdf")
    bins = min(BINS, int(((photons >= low) & (photons < high)).sum()) // SHARED)
    if not bins:
        return np.zeros(len(photons)), np.zeros(len(signal))
    edges = np.linspace(low, high, bins + 1)
    count = np.histogram(photons, edges)[0]
    there = np.histogram(photons, edges, weights=of_photons)[0]
    wanted = np.histogram(signal, edges, weights=of_signal)[0]
    ratio = np.divide(wanted, there, out=np.zeros(bins), where=(count >= LEAST) & (there > 0))

    def at(values: Values) -> Weights:
        place = np.searchsorted(edges, values, side="right") - 1
        inside = (place >= 0) & (place < bins)
        return np.where(inside, ratio[np.clip(place, 0, bins - 1)], 0.0)

    weight = at(photons) if of_photons is None else at(photons) * of_photons
    kept = (at(signal) > 0).astype(float)
    return weight / (weight.mean() or 1.0), kept if of_signal is None else kept * of_signal

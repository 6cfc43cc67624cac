"""Photons and a signal weighted to the same deposited energies, so that energy alone cannot tag."""

import numpy as np
from numpy.typing import NDArray

BINS = 30  # of the signal's deposited energy, all as wide; fewer where there are not
SHARED = 20  # photons a bin
TAILS = 0.005  # of the signal on either side, left out: single events would make the bins wide
LEAST = 5  # photons of a bin: with fewer, its signal has no background to be held against

Weights = NDArray[np.float64]


def matched_weights(photons: NDArray[np.floating], signal: NDArray[np.floating]) -> tuple[Weights, Weights]:
    """Weights of photons that give their deposited energies the signal's distribution, and of the signal that has any.

    Args:
        photons: deposited energies `[N]`.
        signal: deposited energies `[S]`, in the same unit.

    Returns:
        `[N]`, of mean 1 over all photons, and `[S]`, 1 or 0; all 0 where the two have no energies in common.
    """
    low, high = np.quantile(signal, [TAILS, 1 - TAILS])
    bins = min(BINS, int(((photons >= low) & (photons < high)).sum()) // SHARED)
    if not bins:
        return np.zeros(len(photons)), np.zeros(len(signal))
    edges = np.linspace(low, high, bins + 1)
    wanted, held = (np.histogram(values, edges)[0] for values in (signal, photons))
    ratio = np.divide(wanted, held, out=np.zeros(bins), where=held >= LEAST)

    def at(values: NDArray[np.floating]) -> Weights:
        place = np.searchsorted(edges, values, side="right") - 1
        inside = (place >= 0) & (place < bins)
        return np.where(inside, ratio[np.clip(place, 0, bins - 1)], 0.0)

    weight = at(photons)
    return weight / (weight.mean() or 1.0), (at(signal) > 0).astype(float)

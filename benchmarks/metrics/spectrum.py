"""Mass spectra of data above cuts on the score, and what a template predicts for the window."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.metrics import weighted
from sideband.infer.events import in_window

Array = NDArray[np.floating]

IN_WINDOW = 8  # bins, where that does not give more than so many in all
MOST = 160


@dataclass(frozen=True)
class Sample:
    """Events with masses `[N]`, cross-fitted scores `[N]`, and weights `[N]` if they have any."""

    mass: Array
    score: Array
    weight: Array | None = None


@dataclass(frozen=True)
class Spectrum:
    """Events of each bin `[B]` above the cut that passes `efficiency` of the template.

    Args:
        efficiency: of the template; 1 before any cut.
        observed: the data.
        expected, error: the template at the size of the window's data, with its statistical error.
    """

    efficiency: float
    observed: list[int]
    expected: list[float]
    error: list[float]


def edges(window: tuple[float, float], reach: tuple[float, float]) -> Array:
    """Edges of equally wide bins, the window's ends among them, that fill as much of the mass range as whole bins can.

    >>> edges((3.0, 4.0), (2.6, 4.3)).round(3).tolist()[:5]
    [2.625, 2.75, 2.875, 3.0, 3.125]
    """
    low, high = window
    inside = IN_WINDOW
    while inside > 1 and (reach[1] - reach[0]) / (high - low) * inside > MOST:
        inside //= 2
    width = (high - low) / inside
    below, above = (max(0, int(np.floor(gap / width * (1 + 1e-9)))) for gap in (low - reach[0], reach[1] - high))
    return low + width * np.arange(-below, inside + above + 1)


def spectra(
    data: Sample, template: Sample, window: tuple[float, float], efficiencies: Sequence[float], bins: Array
) -> list[Spectrum]:
    """Spectra before any cut and above each one.

    Args:
        data: events of every mass.
        template: events of the window.
        window: the signal region.
        efficiencies: fractions of the template that pass.
        bins: edges `[B + 1]`.
    """
    weights = np.ones(len(template.score)) if template.weight is None else template.weight.astype(np.float64)
    scale = in_window(data.mass, window).sum() / weights.sum()
    found = []
    for efficiency in (1.0, *efficiencies):
        cut = weighted.cut(template.score, efficiency, template.weight) if efficiency < 1 else -np.inf
        above, passing = weights[template.score >= cut], template.mass[template.score >= cut]
        expected, variance = (np.histogram(passing, bins, weights=above**power)[0] for power in (1, 2))
        observed = np.histogram(data.mass[data.score >= cut], bins)[0]
        errors = scale * np.sqrt(variance)
        found.append(Spectrum(efficiency, observed.tolist(), (scale * expected).tolist(), errors.tolist()))
    return found

"""Figures of samples of showers: how they look, how deep they go, what is seen of their energy, and in which voxels."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from sideband.benchmarks.report import style
from sideband.benchmarks.simulate.showers.geometry import HALF_WIDTH, LAYERS, STARTS, THRESHOLD, images, layer_energies
from sideband.benchmarks.simulate.showers.simulation import Showers

Array = NDArray[np.float64]
Samples = Mapping[str, Showers]

BINS = 50
ENERGIES = 10  # bins of the incident energy
AS_CELLS: dict[str, Any] = {"origin": "lower", "interpolation": "nearest"}  # by default, narrow cells are blurred
FAINTEST = 1e-4  # of the brightest voxel of a layer, in the mean images


def describe(samples: Samples) -> dict[str, Figure]:
    """Draw samples of showers together.

    Args:
        samples: showers by the name they get in the legend; those without any visible energy are left aside.

    Returns:
        Figures by name: `images` (mean energy of each voxel), `fractions` (share of each layer), `depth` (the same
        against the incident energy), `response` (visible energy over incident energy, and its spread), `spectrum`
        (energies of voxels) and `hits` (how many voxels hold energy).
    """
    seen = {name: showers[showers.voxels.any(axis=1)] for name, showers in samples.items()}
    return {
        "images": _images(seen),
        "fractions": _fractions(seen),
        "depth": _depth(seen),
        "response": _response(seen),
        "spectrum": _spectrum(seen),
        "hits": _hits(seen),
    }


def _images(samples: Samples) -> Figure:
    figure = Figure(figsize=(2 + 1.9 * len(samples), 6.2))
    panels = figure.subplots(len(LAYERS), len(samples), squeeze=False, sharex=True, sharey=True)
    means = [images(showers.voxels.mean(axis=0, dtype=float)[None]) for showers in samples.values()]
    ends = -HALF_WIDTH, HALF_WIDTH
    for layer, row in enumerate(panels):
        most = max(THRESHOLD, *(float(mean[layer].max()) for mean in means))  # decays deep inside leave a layer empty
        norm = LogNorm(FAINTEST * most, most, clip=True)
        for axes, mean in zip(row, means, strict=True):
            picture = axes.imshow(mean[layer][0].T, "magma", norm, extent=(*ends, *ends), **AS_CELLS)
            axes.grid(False)
            axes.set_xticks((-200, 0, 200))
            axes.set_yticks((-200, 0, 200))
        figure.colorbar(picture, ax=row, label="mean energy [MeV]", aspect=12, pad=0.01)
        row[0].set_ylabel(f"layer {layer}\ny [mm]")
    for axes, name in zip(panels[0], samples, strict=True):
        axes.set_title(name, fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("x [mm]")
    return figure


def _fractions(samples: Samples) -> Figure:
    shares = [_shares(showers) for showers in samples.values()]
    figure, panels = _panels(samples)
    for layer, axes in enumerate(panels):
        _densities(axes, [(share[:, layer], len(share)) for share in shares], np.linspace(0, 1, BINS + 1))
        axes.set_xlabel(f"share of layer {layer} in the visible energy")
    panels[0].set_ylabel("share of showers per bin")
    return figure


def _depth(samples: Samples) -> Figure:
    figure, panels = _panels(samples)
    for layer, axes in enumerate(panels):
        for index, showers in enumerate(samples.values()):
            energy, (low, middle, high) = _by_energy(showers, _shares(showers)[:, layer], _central)
            energy, bars = energy + _aside(index, len(samples)), (middle - low, high - middle)
            axes.errorbar(energy, middle, bars, fmt="o-", ms=4, lw=1, capsize=2, color=_colour(index))
        axes.set_xlabel("incident energy [GeV]")
        axes.set_ylabel(f"share of layer {layer}, central 68 %")
    return figure


def _response(samples: Samples) -> Figure:
    figure, (left, right) = _panels(samples, 2)
    for index, showers in enumerate(samples.values()):
        response = showers.voxels.sum(axis=1, dtype=float) / 1000 / showers.energy
        energy, (mean, spread) = _by_energy(showers, response, _moments)
        energy = energy + _aside(index, len(samples))
        left.plot(energy, 100 * mean, "o-", ms=4, color=_colour(index))
        right.plot(energy, 100 * spread / mean, "o-", ms=4, color=_colour(index))
    left.set_ylabel("visible / incident energy [%]")
    right.set_ylabel("spread / mean [%]")
    for axes in (left, right):
        axes.set_xlabel("incident energy [GeV]")
    return figure


def _spectrum(samples: Samples) -> Figure:
    figure, panels = _panels(samples)
    most = max(float(showers.voxels.max()) for showers in samples.values())
    edges = np.geomspace(THRESHOLD, 1.01 * most, BINS + 1)
    for layer, axes in enumerate(panels):
        _densities(
            axes, [(one.voxels[:, STARTS[layer] : STARTS[layer + 1]], len(one)) for one in samples.values()], edges
        )
        axes.set_xscale("log")
        axes.set_xlabel(f"energy of a voxel of layer {layer} [MeV]")
    panels[0].set_ylabel("voxels per shower and bin")
    return figure


def _hits(samples: Samples) -> Figure:
    figure, panels = _panels(samples)
    for layer, axes in enumerate(panels):
        hits = [(one.voxels[:, STARTS[layer] : STARTS[layer + 1]] > 0).sum(axis=1) for one in samples.values()]
        most = max(int(one.max()) for one in hits)
        width = most // BINS + 1  # whole numbers of voxels in a bin
        _densities(axes, [(one, len(one)) for one in hits], np.arange(0, most + width + 1, width) - 0.5)
        axes.set_xlabel(f"voxels hit in layer {layer}")
    panels[0].set_ylabel("share of showers per bin")
    return figure


def _shares(showers: Showers) -> Array:
    layers = layer_energies(showers.voxels)
    return layers / layers.sum(axis=1, keepdims=True)


def _by_energy(showers: Showers, values: Array, summary: Callable[[Array], Any]) -> tuple[Array, Array]:
    """Mean incident energy of each bin with showers, and the summary of `values` there `[numbers, bins]`."""
    edges = np.linspace(showers.energy.min(), showers.energy.max(), ENERGIES + 1)[1:-1]
    place = np.digitize(showers.energy, edges)
    filled = np.unique(place)
    energy = np.array([showers.energy[place == i].mean() for i in filled])
    return energy, np.array([summary(values[place == i]) for i in filled]).T


def _central(values: Array) -> Any:
    return np.quantile(values, [0.16, 0.5, 0.84])


def _moments(values: Array) -> Any:
    return values.mean(), values.std()


def _aside(index: int, number: int) -> float:
    """A shift [GeV] that sets points of one energy beside each other."""
    return 0.6 * (index - (number - 1) / 2)


def _colour(index: int) -> Any:
    return style.PALETTE[index % len(style.PALETTE)]


def _densities(axes: Axes, values: list[tuple[Any, int]], edges: NDArray[Any]) -> None:
    """Histograms per shower, each of some values and the number of showers that they are of."""
    heights = [np.histogram(one, edges)[0] / showers for one, showers in values]
    for index, height in enumerate(heights):
        axes.stairs(height, edges, color=_colour(index), lw=1.5)
    # Limits of our own: of a layer that nothing has reached, matplotlib could find none on a logarithmic axis.
    least = 0.5 / max(showers for _, showers in values)
    axes.set_ylim(least, max(10 * least, 2 * max(float(height.max()) for height in heights)))
    axes.set_yscale("log")


def _panels(samples: Samples, number: int = len(LAYERS)) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4 * number, 3.8))
    lines = [Line2D([], [], color=_colour(index)) for index in range(len(samples))]
    columns = min(len(samples), 4)
    figure.legend(lines, list(samples), loc="outside upper center", ncols=columns, fontsize=9, frameon=False)
    return figure, list(figure.subplots(1, number))

"""Figures of samples: all are drawn, with units, whatever the samples' energies."""

import numpy as np
import pytest

from sideband.benchmarks.problems.showers.figures import describe
from sideband.benchmarks.simulate.showers.simulation import Showers


def sample(energy: float, spread: float, depth: float, count: int = 200) -> Showers:
    random = np.random.default_rng(int(energy))
    voxels = random.gamma(0.5, energy, (count, 504)).astype(np.float32)  # half the energy in the mean
    voxels[:, 288:] *= depth
    voxels[0] = 0  # left aside
    incident = energy + spread * random.random(count)
    return Showers(incident.astype(np.float32), voxels, np.zeros(count, np.float32))


def test_all_figures() -> None:
    figures = describe({"photons": sample(1, 99, 1), "5 GeV, 1.24 m": sample(50, 0, 3)})
    assert list(figures) == ["images", "fractions", "depth", "response", "spectrum", "hits"]
    for name, figure in figures.items():
        figure.draw_without_rendering()
        texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        assert (titles if name == "images" else texts) == ["photons", "5 GeV, 1.24 m"]


def test_what_is_drawn() -> None:
    figures = describe({"deep": sample(50, 0, 3)})
    shares = [float(axes.lines[0].get_ydata()[0]) for axes in figures["depth"].axes]
    np.testing.assert_allclose(shares, [288 / 936, 3 * 144 / 936, 3 * 72 / 936], atol=0.01)
    seen, _ = figures["response"].axes
    np.testing.assert_allclose(seen.lines[0].get_xydata(), [[50, 100 * 0.025 * 936 / 50]], rtol=0.01)
    assert seen.get_xlabel() == "incident energy [GeV]"
    for name in ("fractions", "hits"):  # every shower is in a bin
        for axes in figures[name].axes:
            assert axes.patches[0].get_data().values.sum() == pytest.approx(1)

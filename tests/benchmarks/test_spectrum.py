import numpy as np
import pytest

from sideband.benchmarks.metrics.excess import excess
from sideband.benchmarks.metrics.spectrum import MOST, Sample, edges, spectra

WINDOW = (3.0, 4.0)


@pytest.mark.parametrize("reach", [(2.0, 6.0), (3.0, 4.0), (2.99, 40.0), (1.0, 1001.0)])
def test_the_ends_of_the_window_are_edges_and_bins_are_whole(reach: tuple[float, float]) -> None:
    found = edges(WINDOW, reach)
    widths = np.diff(found)
    assert np.allclose(widths, widths[0])
    assert all(np.isclose(found, end).any() for end in WINDOW)
    assert reach[0] <= found[0] + 1e-9
    assert found[-1] - 1e-9 <= reach[1]
    assert max(found[0] - reach[0], reach[1] - found[-1]) < widths[0]
    assert len(widths) <= max(MOST, (reach[1] - reach[0]) / (WINDOW[1] - WINDOW[0]))


@pytest.mark.parametrize("weighted", [False, True])
def test_spectra_add_up_to_the_excess(weighted: bool) -> None:
    random = np.random.default_rng(1)
    data = Sample(random.uniform(2, 5, 30_000), random.uniform(size=30_000))
    weight = random.uniform(0.5, 1.5, 40_000) if weighted else None
    template = Sample(random.uniform(*WINDOW, 40_000), random.uniform(size=40_000), weight)
    bins = edges(WINDOW, (2.0, 5.0))
    before, *above = spectra(data, template, WINDOW, (0.1, 0.01), bins)
    inside = (bins[:-1] >= 3 - 1e-9) & (bins[1:] <= 4 + 1e-9)
    within = (data.mass > 3) & (data.mass < 4)
    assert before.efficiency == 1
    assert sum(before.observed) == len(data.mass)
    assert sum(before.expected) == pytest.approx(within.sum())
    for each in above:
        told = excess(data.score[within], template.score, each.efficiency, weight)
        assert np.sum(np.array(each.observed)[inside]) == told.observed
        assert sum(each.expected) == pytest.approx(told.expected)
        assert np.sqrt(np.sum(np.square(each.error))) == pytest.approx(told.error)
        assert not np.array(each.expected)[~inside].any()

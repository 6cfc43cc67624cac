import numpy as np
import pytest
from scipy.stats import chi2

from sideband.benchmarks.metrics.interval import DROP, Array, Curve, interval, smooth

FRACTIONS = np.geomspace(1e-5, 0.1, 33)
DENSE = np.geomspace(1e-3, 0.1, 61)


def likelihood(fractions: Array, observed: float) -> Array:
    """Log-likelihood over no signal of a counting experiment: 50 events of background, 5,000 w of signal."""
    rate = 50 + 5_000 * fractions
    return np.asarray(observed * np.log(rate / 50) - (rate - 50))


def counted(observed: float) -> Curve:
    """Its curve, with denser points where fractions of a few per cent lie."""
    curves = [Curve(at, likelihood(at, observed), np.full(len(at), 0.1)) for at in (FRACTIONS, DENSE)]
    return curves[0].joined(curves[1])


def test_the_drop_is_that_of_95_per_cent() -> None:
    assert pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-3) == DROP


def test_a_curve_is_smooth_through_its_points() -> None:
    curve = counted(150)
    fine = np.geomspace(5e-3, 3.5e-2, 200)
    np.testing.assert_allclose(smooth(curve, fine), likelihood(fine, 150), atol=0.3)


@pytest.mark.parametrize("observed", [90.0, 150.0, 300.0])
def test_ends_are_those_of_the_exact_likelihood(observed: float) -> None:
    found = interval(counted(observed))
    assert found.fraction == pytest.approx((observed - 50) / 5_000, rel=0.03)
    fine = np.geomspace(1e-5, 0.1, 100_001)
    gain = likelihood(fine, observed)
    inside = fine[gain >= gain.max() - DROP]
    assert (found.low, found.high) == (pytest.approx(inside[0], rel=0.05), pytest.approx(inside[-1], rel=0.05))
    assert found.gain == pytest.approx(gain.max(), abs=0.1)


def test_the_interval_covers_the_truth_and_contains_none_without_signal() -> None:
    random = np.random.default_rng(1)
    draws = 40
    for true in (0.0, 0.02):
        found = [interval(counted(random.poisson(50 + 5_000 * true))) for _ in range(draws)]
        covered = np.mean([each.low <= true <= each.high for each in found])
        assert covered > 0.95 - 2.5 * np.sqrt(0.05 * 0.95 / draws)


def test_without_signal_the_lower_end_is_none() -> None:
    found = interval(counted(45))
    assert found.low == 0
    assert found.gain == pytest.approx(0, abs=0.1)


def test_a_systematic_lowers_the_line() -> None:
    alone, wider = interval(counted(75)), interval(counted(75), systematic=5.0)
    assert alone.low > 0 == wider.low
    assert wider.high > alone.high


def test_a_flat_curve_excludes_nothing() -> None:
    found = interval(Curve(FRACTIONS, np.zeros(len(FRACTIONS)), np.zeros(len(FRACTIONS))))
    assert (found.low, found.gain) == (0, 0)
    assert found.high == pytest.approx(0.1)

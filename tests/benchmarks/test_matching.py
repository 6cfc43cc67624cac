import numpy as np
import pytest

from sideband.benchmarks.metrics.matching import matched_weights

RANDOM = np.random.default_rng(1)
PHOTONS, SIGNAL = RANDOM.uniform(0, 100, 50_000), RANDOM.normal(50, 5, 4000)


def test_integer_weights_are_repeated_events() -> None:
    times = RANDOM.integers(1, 4, len(PHOTONS)), RANDOM.integers(0, 3, len(SIGNAL))
    weight, kept = matched_weights(PHOTONS, SIGNAL, (times[0].astype(float), times[1].astype(float)))
    repeated, kept_repeated = matched_weights(np.repeat(PHOTONS, times[0]), np.repeat(SIGNAL, times[1]))
    assert weight.mean() == pytest.approx(1)
    assert kept.sum() == pytest.approx(kept_repeated.sum(), abs=5)  # the ends lie on other events
    expected = np.average(np.repeat(PHOTONS, times[0]), weights=repeated)
    assert np.average(PHOTONS, weights=weight) == pytest.approx(expected, abs=0.02)


def test_weights_give_photons_the_distribution_of_a_weighted_signal() -> None:
    shift = np.exp((SIGNAL - 50) / 5)  # moves the normal distribution up by its width
    weight, kept = matched_weights(PHOTONS, SIGNAL, (PHOTONS / 100, shift))
    np.testing.assert_array_equal(kept[kept > 0], shift[kept > 0])
    assert np.average(PHOTONS, weights=weight) == pytest.approx(np.average(SIGNAL, weights=kept), abs=0.2)


def test_only_ratios_of_weights_matter() -> None:
    given = RANDOM.uniform(size=len(PHOTONS)), RANDOM.uniform(size=len(SIGNAL))
    weight, kept = matched_weights(PHOTONS, SIGNAL, given)
    scaled, kept_scaled = matched_weights(PHOTONS, SIGNAL, (4 * given[0], 8 * given[1]))
    np.testing.assert_allclose(scaled, weight, rtol=1e-12)
    np.testing.assert_array_equal(kept_scaled, 8 * kept)


def test_uniform_weights_change_nothing() -> None:
    plain, kept = matched_weights(PHOTONS, SIGNAL)
    weight, kept_uniform = matched_weights(PHOTONS, SIGNAL, (np.full(len(PHOTONS), 2.0), None))
    np.testing.assert_allclose(weight, plain, rtol=1e-12)
    np.testing.assert_array_equal(kept_uniform, kept)

import math
from statistics import NormalDist

import numpy as np
import pytest

from sideband.benchmarks.metrics import sic

NORMAL = NormalDist()


def sample(background: np.ndarray, signal: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(background) + len(signal))
    label = np.repeat([0, 1], [len(background), len(signal)])
    return np.concatenate([background, signal])[order], label[order]


@pytest.mark.parametrize("efficiency", [1e-3, 1e-2, 0.1, 0.5])
def test_a_flat_score_gives_the_root_of_the_background_efficiency(efficiency: float) -> None:
    random, number = np.random.default_rng(1), 200_000
    curve = sic.roc(*sample(random.uniform(size=number), random.uniform(size=number)))
    found = float(curve.sic(np.array([efficiency]))[0])
    # eps_S counts signal above a cut whose own eps_B fluctuates by as much.
    error = math.sqrt(2 * efficiency * (1 - efficiency) / number) / math.sqrt(efficiency)
    assert abs(found - math.sqrt(efficiency)) < 5 * error


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_shifted_gaussians_give_the_analytic_curve(shift: float) -> None:
    random, number = np.random.default_rng(2), 300_000
    score, label = sample(random.normal(size=number), random.normal(shift, size=number))
    summary = sic.summarise(score, label, replicas=2)
    curve = sic.roc(score, label)
    for efficiency in (1e-3, 1e-2, 0.1):
        cut = NORMAL.inv_cdf(1 - efficiency)
        signal = 1 - NORMAL.cdf(cut - shift)
        # d eps_S / d eps_B is the likelihood ratio at the cut.
        ratio = math.exp(shift * cut - shift**2 / 2)
        error = math.sqrt((signal * (1 - signal) + ratio**2 * efficiency * (1 - efficiency)) / number)
        assert abs(curve.at(np.array([efficiency]))[0] - signal) < 5 * error
    assert summary.auc == pytest.approx(NORMAL.cdf(shift / math.sqrt(2)), abs=5 / math.sqrt(6 * number))


def test_a_perfect_score_reaches_the_limit_of_statistics() -> None:
    number = 40_000
    score, label = sample(np.linspace(0, 1, number), np.linspace(2, 3, 500))
    curve = sic.roc(score, label)
    efficiency = np.array([1e-3, 0.1, 1.0])
    np.testing.assert_allclose(curve.sic(efficiency), 1 / np.sqrt(efficiency))
    best, at = curve.maximum()
    assert at == pytest.approx(25 / number)
    assert best == pytest.approx(math.sqrt(number / 25))
    assert np.trapezoid(curve.signal, curve.background) == pytest.approx(1)


def test_the_worst_score_has_no_sensitivity() -> None:
    curve = sic.roc(*sample(np.linspace(2, 3, 30_000), np.linspace(0, 1, 500)))
    np.testing.assert_allclose(curve.sic(np.array([1e-3, 0.5])), 0)


def test_equal_scores_pass_together() -> None:
    curve = sic.roc(*sample(np.zeros(30_000), np.zeros(500)))
    efficiency = np.geomspace(1e-3, 1, 7)
    np.testing.assert_allclose(curve.sic(efficiency), np.sqrt(efficiency))  # a constant score chooses at random
    half = sic.roc(*sample(np.repeat([0.0, 1.0], 500), np.repeat([0.0, 1.0], [100, 400])))
    np.testing.assert_allclose(half.background, [0, 0.5, 1])
    np.testing.assert_allclose(half.signal, [0, 0.8, 1])


def test_a_discrete_score_is_quoted_at_the_efficiency_it_achieves() -> None:
    background = np.repeat([0.0, 1.0, 2.0], [98_000, 1960, 40])
    signal = np.repeat([0.0, 1.0, 2.0], [50, 30, 20])
    score = np.concatenate([background, signal])
    curve = sic.roc(score, np.repeat([0, 1], [len(background), len(signal)]))
    assert curve.achieved(1e-3) == pytest.approx((0.2 / np.sqrt(4e-4), 4e-4))
    assert curve.achieved(1e-4) == pytest.approx((0.2 / np.sqrt(4e-4), 4e-4))  # none is tighter
    assert curve.achieved(0.5) == pytest.approx((0.5 / np.sqrt(0.02), 0.02))
    few = sic.roc(np.arange(20.0), np.repeat([0, 1], 10))
    assert np.isnan(few.achieved(1e-3)).all()


def test_weights_stand_for_as_many_events() -> None:
    random = np.random.default_rng(1)
    score, label = random.normal(size=4000), np.repeat([0, 1], 2000)
    twice = np.where(np.arange(4000) < 1000, 2.0, 1.0)
    repeated = sic.roc(np.concatenate([score[:1000], score]), np.concatenate([np.zeros(1000, int), label]))
    weighted = sic.roc(score, label, twice)
    assert weighted.area == pytest.approx(repeated.area, abs=1e-12)
    assert weighted.n_background == round(3000**2 / 5000)
    assert sic.roc(score, label).n_background == 2000


def test_integer_weights_are_repeated_events() -> None:
    random = np.random.default_rng(6)
    score, label = random.normal(size=4000).round(2), np.repeat([0, 1], [3000, 1000])
    times = random.integers(0, 4, 4000)
    weighted = sic.roc(score, label, times.astype(np.float32))
    repeated = sic.roc(np.repeat(score, times), np.repeat(label, times))
    efficiency = np.geomspace(0.05, 1, 9)
    np.testing.assert_allclose(weighted.at(efficiency), repeated.at(efficiency), rtol=1e-12)
    assert weighted.area == pytest.approx(repeated.area, rel=1e-12)
    assert weighted.n_background < repeated.n_background == times[:3000].sum()  # copies are not independent


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_only_ratios_of_weights_matter(scale: float) -> None:
    random = np.random.default_rng(7)
    score, label = sample(random.normal(size=30_000), random.normal(1, size=3000))
    plain = sic.summarise(score, label, seed=2, replicas=5)
    uniform = sic.summarise(score, label, seed=2, replicas=5, weight=np.full(len(score), scale))
    weight = random.uniform(size=len(score))
    one, other = (sic.summarise(score, label, 2, 5, each) for each in (weight, weight * scale))
    for expected, found in ((plain, uniform), (one, other)):
        for name, value in vars(expected).items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, err_msg=name)


def test_weights_make_one_distribution_another() -> None:
    random, number = np.random.default_rng(8), 100_000
    score, label = sample(random.normal(size=number), random.normal(size=number))
    weight = np.where(label == 1, np.exp(score - 0.5), 1.0)  # a normal distribution with mean 1
    assert sic.summarise(score, label, replicas=2, weight=weight).auc == pytest.approx(
        NORMAL.cdf(1 / math.sqrt(2)), abs=0.01
    )


def test_a_class_without_events_or_weight_has_no_curve() -> None:
    score, label = np.arange(100.0), np.repeat([0, 1], 50)
    for curve in (
        *(sic.roc(score[label == only], label[label == only]) for only in (0, 1)),
        *(sic.roc(score, label, (label == only).astype(float)) for only in (0, 1)),
    ):
        assert np.isnan([curve.area, *curve.maximum(), *curve.sic(np.array([0.5]))]).all()


def test_fewer_than_25_passing_background_events_are_no_number() -> None:
    for number, known in ((24_999, False), (25_000, True)):
        curve = sic.roc(*sample(np.linspace(0, 1, number), np.linspace(0, 1, 100)))
        assert np.isfinite(curve.sic(np.array([1e-3]))[0]) == known
    few = sic.roc(*sample(np.linspace(0, 1, 24), np.linspace(0, 1, 100)))
    assert np.isnan(few.maximum()).all()
    summary = sic.summarise(*sample(np.linspace(0, 1, 1000), np.linspace(0, 1, 100)), replicas=5)
    assert np.isnan(summary.sic)
    assert np.isfinite(summary.maximum)
    np.testing.assert_array_equal(np.isnan(summary.curve), sic.GRID * 1000 < 25 - 1e-6)


@pytest.mark.parametrize("number", [97, 100, 161, 1000])
def test_the_maximum_may_stand_at_25_events_exactly(number: int) -> None:
    # 25 / 97 * 97 is a little less than 25 in floating point.
    curve = sic.roc(*sample(np.linspace(0, 1, number), np.linspace(2, 3, 10)))
    assert curve.maximum()[1] == pytest.approx(25 / number)


def test_the_bootstrap_spread_is_the_statistical_error() -> None:
    random = np.random.default_rng(3)
    score, label = sample(random.uniform(size=50_000), random.uniform(size=10_000))
    spread = sic.summarise(score, label, seed=5, replicas=100).sic_spread
    expected = math.sqrt(1e-3 / 10_000 + 1e-3 / 50_000) / math.sqrt(1e-3)
    assert 0.7 < spread / expected < 1.4
    few = [sic.summarise(score, label, seed, replicas=3).sic_spread for seed in (5, 5, 6)]
    assert few[0] == few[1] != few[2]


def test_order_of_events_does_not_matter() -> None:
    random = np.random.default_rng(4)
    background, signal = random.normal(size=5000).round(1), random.normal(1, size=500).round(1)  # many equals
    one, two = (sic.roc(*sample(background, signal, seed)) for seed in (1, 2))
    np.testing.assert_array_equal(one.signal, two.signal)
    np.testing.assert_array_equal(one.background, two.background)


def test_median_and_band() -> None:
    assert sic.median_and_band([3.0, 1.0, 2.0, float("nan")]) == (2.0, 1.0, 3.0, "min-max")
    median, low, high, what = sic.median_and_band([float(value) for value in range(101)])
    assert (median, low, high, what) == (50.0, 16.0, 84.0, "16-84 %")
    assert sic.median_and_band([1.0] * 7)[3] == "min-max"
    assert sic.median_and_band([1.0] * 8)[3] == "16-84 %"
    assert sic.median_and_band([float("nan")])[3] == "no runs"


def test_ratios_are_paired_draw_by_draw() -> None:
    nan = float("nan")
    found = sic.paired_ratio([2.0, 3.0, nan, 1.0, 1.0], [1.0, 6.0, 1.0, nan, 0.0])
    assert found[:2] == [2.0, 0.5]
    assert np.isnan(found[2:]).all()
    with pytest.raises(ValueError, match="longer"):
        sic.paired_ratio([1.0], [1.0, 2.0])

import math

import numpy as np
import pytest
from scipy.stats import t

from sideband.benchmarks.metrics.excess import excess, probability, relative, significance, systematic


@pytest.mark.parametrize(("efficiency", "ratio"), [(1e-2, 4), (1e-1, 1)])
def test_without_signal_z_is_standard_normal(efficiency: float, ratio: int) -> None:
    random, number, toys = np.random.default_rng(1), 20_000, 400
    found = [
        excess(random.uniform(size=number), random.uniform(size=ratio * number), efficiency).significance
        for _ in range(toys)
    ]
    assert abs(np.mean(found)) < 5 / math.sqrt(toys)
    # The data's total is fixed, so the counts are binomial: narrower than Poisson by sqrt(1 - efficiency).
    assert abs(np.std(found) / math.sqrt(1 - efficiency) - 1) < 5 / math.sqrt(2 * toys)


def test_template_statistics_are_in_the_error() -> None:
    random = np.random.default_rng(2)
    data = random.uniform(size=10_000)
    found = excess(data, random.uniform(size=10_000), 0.01)
    assert found.expected == pytest.approx(100)
    assert found.error == pytest.approx(10)
    larger = excess(data, random.uniform(size=1_000_000), 0.01)
    assert larger.error == pytest.approx(1, rel=0.01)


def test_an_injected_signal_is_found() -> None:
    random = np.random.default_rng(3)
    data = np.concatenate([random.uniform(size=9_900), np.full(100, 2.0)])
    found = excess(data, random.uniform(size=1_000_000), 0.01)
    assert found.observed == pytest.approx(199, abs=50)
    assert found.significance == pytest.approx((found.observed - 100) / math.sqrt(100), rel=0.25)
    assert found.significance > 5


def test_formula_against_its_limits_and_by_hand() -> None:
    # Known background: sqrt(2 (n ln(n/b) - (n - b))).
    assert significance(130, 100, 0) == pytest.approx(math.sqrt(2 * (130 * math.log(1.3) - 30)))
    assert significance(130, 100, 1e-4) == pytest.approx(significance(130, 100, 0), rel=1e-6)
    # Large numbers: (n - b) / sqrt(b + error^2).
    assert significance(1_001_000, 1_000_000, 1000) == pytest.approx(1000 / math.sqrt(2e6), rel=1e-3)
    # arXiv:1007.1727 from its likelihood: n ~ Poisson(s + b), m ~ Poisson(tau b) with tau = b / error^2.
    n, b, error = 20, 10.0, 2.0
    tau = b / error**2
    m = tau * b
    common = (n + m) / (1 + tau)
    log_ratio = n * math.log(n / common) - (n - common) + m * math.log(m / (tau * common)) - (m - tau * common)
    assert significance(n, b, error) == pytest.approx(math.sqrt(2 * log_ratio))


def test_signs_and_edges() -> None:
    assert significance(100, 100, 10) == 0
    assert significance(70, 100, 0) < 0 < significance(130, 100, 0)
    assert significance(0, 8, 0) == pytest.approx(-4)  # sqrt(2 b)
    assert significance(0, 8, 1) > significance(0, 8, 0)
    assert math.isnan(significance(3, 0, 0))
    assert abs(significance(130, 100, 10)) < abs(significance(130, 100, 0))


@pytest.mark.parametrize("efficiency", [0.1, 0.01])
def test_integer_weights_are_repeated_events(efficiency: float) -> None:
    random = np.random.default_rng(4)
    data, template = random.uniform(size=10_000), random.uniform(size=20_000)
    times = np.repeat([1, 3], 10_000)  # so that 40,000 events stand for whole numbers at both efficiencies
    weighted = excess(data, template, efficiency, times.astype(np.float32))
    repeated = excess(data, np.repeat(template, times), efficiency)
    assert weighted.observed == pytest.approx(repeated.observed, abs=2)  # a cut lies anywhere between two events
    assert weighted.expected == pytest.approx(repeated.expected, rel=3e-3)
    above = times[template >= np.quantile(np.repeat(template, times), 1 - efficiency)]
    error = math.sqrt((above**2).sum()) / above.sum()
    assert weighted.error / weighted.expected == pytest.approx(error, rel=1e-2)
    assert weighted.error > repeated.error  # copies are not independent


def test_only_ratios_of_weights_matter() -> None:
    random = np.random.default_rng(5)
    data, template, weight = random.uniform(size=10_000), random.uniform(size=40_000), random.uniform(size=40_000)
    assert excess(data, template, 0.01, np.ones(40_000)) == excess(data, template, 0.01)
    assert excess(data, template, 0.01, np.full(40_000, 0.5)) == excess(data, template, 0.01)
    assert excess(data, template, 0.01, 8 * weight) == excess(data, template, 0.01, weight)


def test_without_signal_z_of_a_weighted_template_is_standard_normal() -> None:
    """Scores 1 - u² of uniform u have the density 1 / (2 √(1 - s)); the weights √(1 - s) make them uniform."""
    random, number, toys, efficiency = np.random.default_rng(6), 20_000, 400, 0.1
    found = []
    for _ in range(toys):
        template = 1 - random.uniform(size=number) ** 2
        weight = np.sqrt(1 - template)
        found.append(excess(random.uniform(size=number), template, efficiency, weight))
    z = np.array([each.significance for each in found])
    assert abs(z.mean()) < 5 / math.sqrt(toys)
    assert abs(z.std() / math.sqrt(1 - efficiency) - 1) < 5 / math.sqrt(2 * toys)
    assert np.mean([each.expected for each in found]) == pytest.approx(efficiency * number, rel=1e-3)


def test_without_a_systematic_error_nothing_changes_and_with_one_z_falls() -> None:
    assert significance(150, 100, 5, delta=0.0) == significance(150, 100, 5)
    found = [significance(150, 100, 5, delta) for delta in (0.0, 0.02, 0.1, 0.3, 1.0)]
    assert found == sorted(found, reverse=True)
    assert significance(150, 100, 5, -0.1) == significance(150, 100, 5, 0.1)
    # arXiv:2411.00085: the error of b is b sqrt(1 / n + delta^2), with n template events above the cut.
    n, delta = 400, 0.1
    whole = 100 * math.sqrt(1 / n + delta**2)
    assert significance(150, 100, 100 / math.sqrt(n), delta) == pytest.approx(significance(150, 100, whole), rel=1e-12)


def test_a_systematic_error_from_few_windows_has_tails() -> None:
    """Z follows Student's t where δ_sys is all the error, and is what it was where δ_sys hardly counts."""
    known = significance(1.5e6, 1e6, 0.0, 0.2)
    for windows in (1, 2, 10):
        assert probability(significance(1.5e6, 1e6, 0.0, 0.2, windows)) == pytest.approx(t.sf(known, windows), rel=1e-4)
    found = [significance(150, 100, 5, 0.1, windows) for windows in (1, 2, 4, 100, math.inf)]
    assert found == sorted(found)
    assert significance(50, 100, 5, 0.1, 2) > significance(50, 100, 5, 0.1)  # a deficit too
    assert significance(150, 100, 5, 1e-4, 1) == pytest.approx(significance(150, 100, 5), rel=1e-6)
    assert significance(1e9, 100, 5, 1e-6, 1) == significance(1e9, 100, 5, 1e-6)  # no probability is so small
    assert significance(100, 100, 5, 0.1, 1) == 0


@pytest.mark.parametrize("windows", [1, 2, 4])
def test_few_validation_windows_raise_few_alarms(windows: int) -> None:
    """400 events, templates wrong by a fifth: with δ_sys taken for known, there are many times too many alarms."""
    random, trials = np.random.default_rng(windows), 4000
    observed = random.poisson(400 * (1 + random.normal(0, 0.2, (trials, windows + 1))))
    template = random.poisson(1600, (trials, windows + 1)) / 4
    alarms: dict[str, list[bool]] = {"known": [], "measured": []}
    for region, *validated in np.stack([observed, template, np.sqrt(template) / 2], 2):
        delta, _ = systematic(validated)
        alarms["known"].append(significance(*region, delta) > 3)
        alarms["measured"].append(significance(*region, delta, windows) > 3)
    nominal = probability(3)
    assert np.mean(alarms["known"]) > nominal + 5 * math.sqrt(nominal / trials)
    assert np.mean(alarms["measured"]) < np.mean(alarms["known"]) / 2
    assert np.mean(alarms["measured"]) < 0.01


def test_a_template_that_is_wrong_everywhere_raises_no_alarm() -> None:
    """With as much missing in validation windows as in the signal region, large samples give Z = 1, not infinity."""
    delta, _ = systematic([(1.2e6, 1e6, 100.0), (1.2e6, 1e6, 100.0)])
    assert significance(1.2e6, 1e6, 100.0) > 100
    assert significance(1.2e6, 1e6, 100.0, delta) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, -1)])
def test_the_systematic_error_counts_too_much_and_too_little(signs: tuple[int, int]) -> None:
    """And the statistics of what it was measured from, which no method is blamed less for."""
    random, windows, bias = np.random.default_rng(7), 400, 0.3
    biases = np.resize(signs, windows) * bias
    counts = [(random.poisson(1000 * (1 + each)), random.poisson(4000) / 4, 1000 / math.sqrt(4000)) for each in biases]
    delta, error = systematic(counts)
    assert error == pytest.approx(math.sqrt(1 / 1000 + 1 / 4000) / math.sqrt(windows), rel=0.02)
    assert delta == pytest.approx(math.sqrt(bias**2 + 1 / 1000 + 1 / 4000), abs=5 * error)


def test_the_systematic_error_of_one_window_and_of_none() -> None:
    assert systematic([(130, 100, 5)]) == pytest.approx(relative(130, 100, 5))
    assert systematic([(70, 100, 5)]) == pytest.approx((0.3, relative(70, 100, 5)[1]))
    # No window shows an error smaller than what it can resolve.
    assert systematic([(100, 100, 5)]) == pytest.approx((relative(100, 100, 5)[1],) * 2)
    assert systematic([(100, 100, 5)] * 4) == pytest.approx((relative(100, 100, 5)[1] / 2,) * 2)
    assert all(map(math.isnan, systematic([])))
    assert all(map(math.isnan, systematic([(3, 0, 0)])))


def test_templates_that_err_in_either_direction_raise_few_alarms() -> None:
    """Each window has a bias of its own, of 20 % and either sign: in a mean, those of 16 windows would cancel."""
    random, trials, windows, expected = np.random.default_rng(8), 1000, 16, 150.0
    biases = random.normal(0, 0.2, (trials, windows + 1))
    observed = random.poisson(expected * (1 + biases))
    template = random.poisson(4 * expected, (trials, windows + 1)) / 4
    errors = np.sqrt(template) / 2
    alarms: dict[str, list[bool]] = {"alone": [], "mean": [], "whole": []}
    for counts in zip(observed, template, errors, strict=True):
        (region, *validated) = zip(*counts, strict=True)
        mean = np.mean([relative(*each)[0] for each in validated])
        for name, delta in (("alone", 0.0), ("mean", mean), ("whole", systematic(validated)[0])):
            alarms[name].append(significance(*region, delta) > 2)
    assert np.mean(alarms["alone"]) > np.mean(alarms["mean"]) > 0.1
    assert np.mean(alarms["whole"]) < 0.0228 + 5 * math.sqrt(0.0228 / trials)


def test_a_window_that_agrees_by_luck_raises_no_alarm() -> None:
    """Eight events expected, one validation window, templates wrong by half: δ_sys is often nil by chance."""
    random, trials, expected = np.random.default_rng(9), 4000, 8.0
    mean = np.maximum(expected * (1 + random.normal(0, 0.5, (trials, 2))), 0.1 * expected)
    observed, template = random.poisson(mean), np.maximum(random.poisson(4 * expected, (trials, 2)), 1) / 4
    alarms: dict[str, list[bool]] = {"root mean square alone": [], "whole": []}
    for region, validated in zip(*np.stack([observed, template, np.sqrt(template) / 2], 2).swapaxes(0, 1), strict=True):
        for name, delta in (
            ("root mean square alone", abs(relative(*validated)[0])),
            ("whole", systematic([tuple(validated)])[0]),
        ):
            alarms[name].append(significance(*region, delta) > 3)
    nominal = probability(3)
    error = math.sqrt(nominal / trials)
    assert np.mean(alarms["root mean square alone"]) > nominal + 5 * error
    assert np.mean(alarms["whole"]) < nominal + 3 * error


def test_probabilities_are_one_sided() -> None:
    assert [probability(z) for z in (0, 1, 5)] == pytest.approx([0.5, 0.15866, 2.8665e-7], rel=1e-4)

import math

import numpy as np
import pytest

from sideband.benchmarks.metrics.excess import excess, significance


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

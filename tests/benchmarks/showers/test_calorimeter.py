"""Constants of lead and liquid argon as one medium, against values from the same formulas worked out by hand."""

import numpy as np
import pytest

from sideband.benchmarks.simulate.showers.calorimeter import ARGON, CALORIMETER, LEAD
from sideband.benchmarks.simulate.showers.geometry import BOUNDARIES


def test_materials() -> None:
    assert LEAD.critical_energy == pytest.approx(7.36, abs=0.005)
    assert ARGON.critical_energy == pytest.approx(29.1, abs=0.05)


def test_both_as_one_medium() -> None:
    assert CALORIMETER.z == pytest.approx(69.4, abs=0.05)
    assert CALORIMETER.density == pytest.approx(4.71, abs=0.005)
    assert CALORIMETER.radiation_length == pytest.approx(1.559, abs=5e-4)
    assert CALORIMETER.moliere_radius == pytest.approx(3.69, abs=0.005)
    assert CALORIMETER.critical_energy == pytest.approx(8.96, abs=0.005)
    assert CALORIMETER.sampling_frequency == pytest.approx(2.599, abs=5e-4)
    assert CALORIMETER.electron_response == pytest.approx(0.691, abs=5e-4)
    depths = np.array(BOUNDARIES) / 10 / CALORIMETER.radiation_length
    np.testing.assert_allclose(depths, [0, 5.77, 28.0, 30.8], atol=0.05)


def test_sampling_fraction_is_the_mips_times_e_over_mip() -> None:
    lead, argon = 1.122 * 11.35 * 0.2, 1.508 * 1.39 * 0.4  # MeV a crossing particle leaves in a plate, in a gap
    assert CALORIMETER.sampling_fraction == pytest.approx(argon / (lead + argon) * 0.6906, rel=1e-4)
    assert CALORIMETER.sampling_fraction == pytest.approx(0.171, abs=5e-4)

"""The detector, particle by particle, against the card it is made after."""

import math

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.simulate.dijets import detector

COPIES = 4000


def seen(pid: int, pt: float, eta: float) -> NDArray[np.float64]:
    """What many events of one particle each leave: rows of event, transverse momentum, η, φ; φ of the particle is 1."""
    p = np.array([[pt * math.cos(1), pt * math.sin(1), pt * math.sinh(eta), pt * math.cosh(eta)]] * COPIES).T
    objects, starts = detector.observe(
        np.random.default_rng(0), np.arange(COPIES + 1), np.full(COPIES, pid, np.int64), p
    )
    assert len(objects) == starts[-1]
    event = np.repeat(np.arange(COPIES), np.diff(starts))
    return np.column_stack([event, objects])


def test_muons_are_tracks_with_the_card_s_efficiency_and_resolution() -> None:
    found = seen(13, 50.0, 0.3)
    assert abs(len(found) / COPIES - 0.95) < 4 * math.sqrt(0.95 * 0.05 / COPIES)
    expected = math.hypot(0.01, 50 * 1.5e-4)
    assert abs(found[:, 1].mean() / 50 - 1) < 4 * expected / math.sqrt(COPIES)
    assert abs(found[:, 1].std() / 50 / expected - 1) < 0.06
    np.testing.assert_allclose(found[:, 2:], [[0.3, 1.0]] * len(found))
    assert not len(seen(-13, 50.0, 2.6))


def test_photons_keep_their_energy_and_stay_in_their_cell() -> None:
    found = seen(22, 80.0, 1.0)
    assert len(found) == COPIES
    energy = found[:, 1] * np.cosh(found[:, 2])
    true = 80 * math.cosh(1.0)
    spread = 1.64 * math.sqrt((0.008 * true) ** 2 + 0.11**2 * true + 0.40**2)
    assert abs(energy.mean() - true) < 4 * spread / math.sqrt(COPIES)
    assert abs(energy.std() / spread - 1) < 0.06
    assert np.abs(found[:, 2] - 1.0).max() < detector.ECAL_D
    assert np.abs(found[:, 3] - 1.0).max() < 2 * math.pi / detector.ECAL_PHI


def test_charged_hadrons_are_tracks_and_what_the_calorimeter_has_beyond() -> None:
    found = seen(211, 100.0, 0.2)
    seen_energy = np.bincount(found[:, 0].astype(int), found[:, 1] * np.cosh(found[:, 2]), COPIES)
    true = 100 * math.cosh(0.2)
    spread = math.sqrt((0.05 * true) ** 2 + 1.5**2 * true)
    tracks = np.unique(found[np.isclose(found[:, 2], 0.2) & np.isclose(found[:, 3], 1.0), 0])
    assert abs(len(tracks) / COPIES - 0.95) < 0.02
    # A track is kept whatever the calorimeter says, and a surplus counts from one spread on: more than was there.
    assert true < seen_energy.mean() < true + 0.5 * spread
    assert len(found) > 1.1 * COPIES


def test_what_leaves_nothing() -> None:
    for pid, pt, eta in ((12, 100.0, 0.0), (16, 100.0, 0.0), (22, 100.0, 3.6), (211, 5e-4, 0.0)):
        assert not len(seen(pid, pt, eta)), (pid, pt, eta)


def test_neutral_hadrons_reach_the_forward_calorimeter() -> None:
    found = seen(130, 60.0, 3.2)
    energy = found[:, 1] * np.cosh(found[:, 2])
    true = 60 * math.cosh(3.2)
    spread = math.sqrt((0.11 * true) ** 2 + 2.8**2 * true)
    assert abs(energy.mean() - true) < 4 * spread / math.sqrt(COPIES)
    assert abs(energy.std() / spread - 1) < 0.06


def test_cells_are_cleared_between_events() -> None:
    alone = seen(22, 80.0, 0.5)
    assert alone[:, 1].max() < 1.5 * 80


def test_the_last_cells_take_the_edges() -> None:
    p = np.array([[-50.0, -1e-9, 0.0, 50.0], [-50.0, 1e-9, 0.0, 50.0]]).T  # φ = ∓π
    objects, _ = detector.observe(np.random.default_rng(0), np.array([0, 2]), np.array([22, 22]), p)
    assert np.abs(np.abs(objects[:, 2]) - math.pi).max() <= 2 * math.pi / detector.ECAL_PHI
    assert len(objects) == 2

"""Changes to a data set, its embedded alternatives, and muon pairs in closed form."""

from pathlib import Path

import numpy as np
import pytest

from sideband.benchmarks.events import changes, dimuons, sources
from sideband.benchmarks.events.tables import Dataset, Events
from sideband.infer.errors import BadInput


def toys() -> Dataset:
    random = np.random.default_rng(0)

    def drawn() -> Events:
        return Events(random.normal(size=200).astype(np.float32), random.normal(size=(200, 2)).astype(np.float32))

    units = {"m": "TeV", "x": "TeV", "y": ""}
    return Dataset("m", ("x", "y"), units, drawn(), drawn(), drawn(), "toys", "0" * 64)


def test_nothing_asked_for_is_nothing_changed() -> None:
    events = toys()
    assert changes.changed(events, {"source": "hdf5", "noise": 0}) is events


def test_a_shift_adds_a_fraction_of_the_mass_to_every_event() -> None:
    before = toys()
    after = changes.changed(before, {"shift": {"y": 0.1}})
    for part in ("data", "background", "simulation"):
        old, new = getattr(before, part), getattr(after, part)
        assert np.array_equal(new.features[:, 0], old.features[:, 0])
        assert new.features[:, 1] == pytest.approx(old.features[:, 1] + 0.1 * old.mass, abs=1e-6)
        assert np.array_equal(new.mass, old.mass)
    assert after.features == ("x", "y")
    assert after.description == "toys; y + 0.1 m"
    with pytest.raises(BadInput, match=r"dataset\.shift: no feature 'z' of one number an event; there are: x, y"):
        changes.changed(before, {"shift": {"z": 0.1}})


def test_noise_is_normal_and_knows_nothing_of_the_event() -> None:
    before = toys()
    after = changes.changed(before, {"noise": 3})
    assert after.features == ("x", "y", "noise1", "noise2", "noise3")
    assert after.units["noise3"] == ""
    assert after.data.features.dtype == np.float32
    assert np.array_equal(after.data.features[:, :2], before.data.features)
    assert after.background is not None
    noise = [after.data.features[:, 2:], after.background.features[:, 2:]]
    assert not np.isin(noise[0], noise[1]).any()
    both = np.concatenate(noise)
    assert np.abs(both.mean(0)).max() < 5 / np.sqrt(len(both))
    assert np.abs(both.std(0) - 1).max() < 5 / np.sqrt(2 * len(both))
    again = changes.changed(before, {"noise": 3})
    assert np.array_equal(again.data.features, after.data.features)
    with pytest.raises(BadInput, match="the events have a column 'noise1'; rename it"):
        changes.changed(after, {"noise": 1})


def test_the_embedded_alternatives_take_the_place_of_one_part(tmp_path: Path) -> None:
    usual = sources.files({"source": "dijets"}, tmp_path)
    other = sources.files({"source": "dijets", "resonance": "heavy", "shower": "vincia"}, tmp_path)
    assert {part for part in usual if usual[part] != other[part]} == {"signal", "simulation"}
    found = sources.load({"source": "dijets", "resonance": "three_prongs"}, tmp_path)
    assert "three-prong" in found.description
    assert found.data.label is not None
    assert found.data.label.sum() == 20_000
    digests = {
        sources.identity({"source": "dijets", **more}, tmp_path)
        for more in ({}, {"resonance": "heavy"}, {"shower": "vincia"}, {"noise": 1}, {"shift": {"m_j1": 0.1}})
    }
    assert len(digests) == 5


def test_muon_pairs_follow_their_closed_forms() -> None:
    found = sources.load({"source": "dimuons", "events": 50_000, "features": list(dimuons.FEATURES)}, Path())
    assert found.units["m_mumu"] == found.units["pt"] == "GeV"
    assert found.data.label is not None
    rows = found.data[found.data.label == 0]
    assert len(rows) == 50_000
    assert np.isfinite(found.data.features).all()
    assert (rows.mass.min(), rows.mass.max()) == pytest.approx((dimuons.LOW, dimuons.HIGH), rel=0.01)
    table = dict(zip(found.features, rows.features.astype(float).T, strict=True))
    error = 5 / np.sqrt(len(rows))
    # Half of a spectrum of m⁻³ from 20 to 60 GeV lies below (½ (20⁻² + 60⁻²))^-½.
    assert np.mean(rows.mass < (0.5 * (20**-2 + 60**-2)) ** -0.5) == pytest.approx(0.5, abs=error)
    assert np.mean(table["pt"] / rows.mass) == pytest.approx(0.5, abs=error)
    assert np.mean(table["cos_theta"] ** 2) == pytest.approx(0.4, abs=error)  # of (1 + cos²θ) / (8/3)
    assert np.abs(table["cos_theta"]).max() <= 1
    assert np.mean(table["vertex_chi2"]) == pytest.approx(1, abs=2 * error)
    assert np.median(table["impact"]) == pytest.approx(0.02, rel=2 * error)
    assert np.array_equal(table["tracks"], np.floor(table["tracks"]))
    signal = found.data[found.data.label == 1]
    assert np.mean(signal.mass) == pytest.approx(dimuons.PEAK, abs=0.02)


def test_the_numbers_of_a_version_stay_the_same() -> None:
    """Whoever changes these numbers raises `VERSION`, or runs would keep tasks of the earlier ones."""
    found = dimuons.dimuons({"events": 1000}, "")
    assert dimuons.VERSION == 1
    assert found.data.mass[:2].tolist() == pytest.approx([27.9931, 20.793], rel=1e-5)
    assert found.data.features[0].tolist() == pytest.approx([8.70213, 0.87143, 0.79263, 0.00353], rel=2e-3)


def test_a_feature_that_muon_pairs_lack_is_refused() -> None:
    with pytest.raises(BadInput, match=r"dataset\.features: muon pairs have no 'm_j1', only pt, isolation"):
        sources.load({"source": "dimuons", "events": 1000, "features": ["pt", "m_j1"]}, Path())

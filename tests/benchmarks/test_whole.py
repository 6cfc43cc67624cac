"""Whole numbers among the features: found in the data, smeared in every group of a task, and nothing else changed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import changes, sources, task, whole
from sideband.benchmarks.events.tables import Dataset, Events
from sideband.benchmarks.problems.search import draw
from sideband.infer import events
from tests.conftest import OWN

GROUPS = ("data", "simulation", "reference", "test")
RECIPE = draw.Recipe((2000.0, 6000.0), (3300.0, 3700.0), injection=20, seed=1)
LABELLED = OWN | {"label": "is_signal", "background": "more.h5", "simulation": "mc.h5"}


def holding(*columns: Any) -> Dataset:
    """A data set without labels whose features x0, x1, … have these values."""
    features = np.stack([np.asarray(each, np.float32) for each in columns], axis=1)
    names = tuple(f"x{index}" for index in range(len(columns)))
    data = Events(np.arange(len(features), dtype=np.float32), features)
    return Dataset("m", names, dict.fromkeys(("m", *names), ""), data, None, None, "toys", "digest")


def restored(values: np.ndarray) -> np.ndarray:
    return np.floor(values.astype(np.float64) + 0.5)


@pytest.fixture
def own(tmp_path: Path, toy_events: Callable[..., Path]) -> Path:
    """A folder of events with the count `n_tracks`, and their own number as `charge`; labels, further events, MC."""
    for seed, (name, number, signal) in enumerate((("own", 6000, 100), ("more", 3000, 0), ("mc", 2000, 0))):
        path = toy_events(tmp_path / f"{name}.h5", number, signal, label="is_signal", seed=seed)
        with h5py.File(path, "a") as file:
            file["charge"][...] = 10_000 * seed + np.arange(number + signal) + 0.25
    return tmp_path


def test_counts_and_flags_are_found_and_nothing_else() -> None:
    random = np.random.default_rng(0)
    count, flag, energy = random.poisson(5, 1000), random.integers(0, 2, 1000), random.integers(1e5, 4e6, 1000)
    one_half = count + np.where(np.arange(1000) == 999, 0.5, 0.0)
    too_large = random.integers(1e7, 2e7, 1000)  # float32 has no room between two of these
    found = whole.noted(holding(count, flag, -energy, one_half, random.normal(size=1000), np.full(1000, 3), too_large))
    assert found.whole == ("x0", "x1", "x2")
    assert found.description == "toys; smeared: x0, x1, x2"


def test_the_embedded_dijets_stay_as_they_are(dijets: Dataset) -> None:
    assert dijets.whole == ()
    assert "smeared" not in dijets.description
    assert whole.noted(dijets) is dijets
    assert whole.smeared(dijets, 1) is dijets


def test_every_number_stays_in_its_bin_and_fills_it_evenly() -> None:
    random, number = np.random.default_rng(0), 200_000
    columns = random.poisson(5, number), random.integers(0, 2, number), random.integers(-4e6, 4e6, number)
    before = whole.noted(holding(*columns))
    after = whole.smeared(before, 1)
    assert after.data.features.dtype == np.float32
    np.testing.assert_array_equal(restored(after.data.features), before.data.features)
    np.testing.assert_array_equal(after.data.mass, before.data.mass)
    noise = after.data.features[:, :2].astype(np.float64) - before.data.features[:, :2]
    for each in noise.T:
        counts, _ = np.histogram(each, np.linspace(-0.5, 0.5, 21))
        assert ((counts - number / 20) ** 2 / (number / 20)).sum() < 19 + 5 * np.sqrt(2 * 19)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / np.sqrt(number)
    assert abs(np.corrcoef(noise[:, 0], columns[0])[0, 1]) < 5 / np.sqrt(number)
    np.testing.assert_array_equal(before.data.features, holding(*columns).data.features)  # the source is left alone


def test_all_groups_are_smeared_and_say_so(own: Path) -> None:
    dataset = sources.load(LABELLED, own)
    assert dataset.whole == ("n_tracks",)
    draw.make(dataset, RECIPE, own / "task.h5")
    the_task = task.read(own / "task.h5")
    assert the_task.attributes["smeared"] == ["n_tracks"]
    assert the_task.attributes["dataset"].endswith("; smeared: n_tracks")
    assert the_task.columns == ["m_vis", "width", "n_tracks", "charge"]
    source = {name: events.read(own / f"{name}.h5", ["charge", "n_tracks"]) for name in ("own", "more", "mc")}
    known: dict[float, float] = {}
    for each in source.values():
        known |= dict(zip(each["charge"], each["n_tracks"], strict=True))
    for group in GROUPS:
        table = events.read(own / "task.h5", ["charge", "n_tracks"], group)
        assert np.mean(table["n_tracks"] == np.rint(table["n_tracks"])) < 0.001
        np.testing.assert_array_equal(restored(table["n_tracks"]), [known[key] for key in table["charge"]])
    read = the_task.events("data")
    np.testing.assert_array_equal(read.features[:, 1], events.read(own / "task.h5", ["n_tracks"], "data")["n_tracks"])


def test_nothing_but_the_whole_numbers_changes(own: Path) -> None:
    dataset = sources.load(LABELLED, own)
    draw.make(dataset, RECIPE, own / "task.h5")
    draw.make(replace(dataset, whole=()), RECIPE, own / "raw.h5")
    with h5py.File(own / "task.h5") as smeared, h5py.File(own / "raw.h5") as raw:
        assert set(smeared.attrs) - set(raw.attrs) == {"smeared"}
        names: list[str] = []
        raw.visit(names.append)
        for name in names:
            if isinstance(raw[name], h5py.Dataset) and not name.endswith("n_tracks"):
                np.testing.assert_array_equal(smeared[name][()], raw[name][()])


def test_the_noise_of_an_event_follows_from_the_seed_alone(own: Path) -> None:
    """Windows and injections of a seed have the same events; another seed has other noise."""

    def drawn(recipe: draw.Recipe) -> dict[float, float]:
        draw.make(dataset, recipe, own / "task.h5")
        table = events.read(own / "task.h5", ["charge", "n_tracks"], "data")
        return dict(zip(table["charge"].tolist(), table["n_tracks"].tolist(), strict=True))

    dataset = sources.load(LABELLED, own)
    found = drawn(RECIPE)
    assert drawn(RECIPE) == found
    beside = replace(RECIPE, window=(2700.0, 3100.0), injection=0, masked=RECIPE.window)
    validation = drawn(beside)
    assert validation
    assert validation.items() <= found.items()
    other = drawn(replace(RECIPE, seed=2))
    shared = found.keys() & other.keys()
    assert not any(found[key] == other[key] for key in shared)
    assert all(abs(found[key] - other[key]) < 1 for key in shared)


def test_events_without_labels_are_smeared_in_their_rows(own: Path) -> None:
    """Scores of the data follow the rows of the task, so these must be the events as they were, in one order."""
    dataset = sources.load(OWN, own)
    draw.make(dataset, replace(RECIPE, injection=None), own / "task.h5")
    assert task.read(own / "task.h5").attributes["smeared"] == ["n_tracks"]
    table = events.read(own / "task.h5", ["m_vis", "width", "n_tracks", "charge"], "data")
    source = events.read(own / "own.h5", ["m_vis", "width", "n_tracks", "charge"])
    rows = np.searchsorted(source["charge"], table["charge"])  # the events' own numbers, which rise
    for name in ("m_vis", "width", "charge"):
        np.testing.assert_array_equal(table[name], source[name][rows])
    np.testing.assert_array_equal(restored(table["n_tracks"]), source["n_tracks"][rows])
    assert (table["n_tracks"] != source["n_tracks"][rows]).mean() > 0.999


def test_a_mass_of_whole_numbers_keeps_them(own: Path) -> None:
    with h5py.File(own / "own.h5", "a") as file:
        file["m_vis"][...] = np.rint(file["m_vis"][()])
    draw.make(sources.load(OWN, own), replace(RECIPE, injection=None), own / "task.h5")
    mass = events.read(own / "task.h5", ["m_vis"], "data")["m_vis"]
    np.testing.assert_array_equal(mass, np.rint(mass))


def test_a_shifted_count_is_smeared_too() -> None:
    """Given the mass, it is a whole number still, whatever multiple of the mass was added."""
    before = whole.noted(holding(np.random.default_rng(0).poisson(5, 1000)))
    shifted = changes.changed(before, {"shift": {"x0": 0.1}})
    assert shifted.whole == ("x0",)
    noise = whole.smeared(shifted, 1).data.features - shifted.data.features
    assert np.abs(noise).max() <= 0.5
    assert noise.std() == pytest.approx(12**-0.5, rel=0.1)

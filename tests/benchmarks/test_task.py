import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import task
from sideband.benchmarks.events.tables import Dataset, Events
from sideband.benchmarks.problems.search import draw
from sideband.infer import events
from sideband.infer.errors import BadInput
from tests.benchmarks.changes import doubled, replaced, said, widened

RANGE, WINDOW = (2.0, 6.0), (3.3, 3.7)


def toy(background: int = 20_000, signal: int = 2000, further: int | None = 5000, labelled: bool = True) -> Dataset:
    """Events whose first feature is their own number, so that each can be found again."""
    random = np.random.default_rng(0)
    start = 0

    def table(number: int, mass: np.ndarray, label: int | None) -> Events:
        nonlocal start
        features = np.stack([np.arange(start, start + number), random.normal(size=number)], axis=1)
        start += number
        known = None if label is None else np.full(number, label, np.int8)
        return Events(mass.astype(np.float32), features.astype(np.float32), known)

    def falling(number: int) -> np.ndarray:
        return 1.8 + random.exponential(1.5, number)

    known = 0 if labelled else None
    data = table(background, falling(background), known)
    if labelled:
        peak = table(signal, random.normal(3.5, 0.3, signal), 1)
        order = random.permutation(background + signal)
        data = Events(
            np.concatenate([data.mass, peak.mass])[order],
            np.concatenate([data.features, peak.features])[order],
            np.repeat(np.int8([0, 1]), [background, signal])[order],
        )
    extra = table(further, falling(further), None) if further else None
    simulation = table(3000, falling(3000), None)
    units = {"m": "TeV", "number": "", "x": ""}
    return Dataset("m", ("number", "x"), units, data, extra, simulation, "toys", "digest")


RECIPE = draw.Recipe(RANGE, WINDOW, injection=300, seed=1)


def numbers(path: Path, group: str) -> set[int]:
    return {int(number) for number in events.read(path, ["number"], group)["number"]}


@pytest.mark.parametrize("further", [5000, None])
def test_groups_share_no_event(tmp_path: Path, further: int | None) -> None:
    dataset, path = toy(further=further), tmp_path / "task.h5"
    seen: dict[str, set[int]] = {"data": set(), "simulation": set(), "reference": set(), "test": set()}
    for seed in (1, 2, 3):  # nor do they over the seeds of a grid
        draw.make(dataset, replace(RECIPE, seed=seed), path)
        for group, found in seen.items():
            rows = numbers(path, group)
            assert len(rows) == len(events.read(path, ["m"], group)["m"])  # no event twice
            found |= rows
    for one, other in combinations(seen.values(), 2):
        assert one
        assert not one & other


def test_a_split_gives_each_event_to_one_part() -> None:
    table = toy(background=1001, signal=0).data
    shares = {"data": 0.6, "reference": 0.2, "test": 0.2}
    parts = draw._split(table, shares, "test")
    assert [len(part) for part in parts.values()] == [601, 200, 200]
    together = np.concatenate([part.features[:, 0] for part in parts.values()])
    np.testing.assert_array_equal(np.sort(together), np.sort(table.features[:, 0]))


@pytest.mark.parametrize("injection", [0, 1, 300])
def test_injection_is_exact_and_its_truth_apart(tmp_path: Path, injection: int) -> None:
    dataset, path = toy(), tmp_path / "task.h5"
    draw.make(dataset, replace(RECIPE, injection=injection), path)
    label = events.read(path, ["label"], "truth")["label"]
    assert label.sum() == injection
    injected = events.read(path, ["number"], "data")["number"][label == 1]
    true_signal = dataset.data.features[dataset.data.label == 1, 0]
    assert np.isin(injected, true_signal).all()
    assert np.isin(events.read(path, ["number"], "data")["number"], true_signal).sum() == injection
    with h5py.File(path) as file:
        assert set(file["data"]) == {"m", "number", "x"}  # no label there
        assert set(file) == {"data", "target", "simulation", "truth", "reference", "test"}
    read = task.read(path)
    inside = read.inside(read.events("data"))
    attributes = read.attributes
    assert attributes["injection"] == injection
    assert attributes["signal_in_window"] == label[inside].sum()
    assert attributes["background_in_window"] == (label[inside] == 0).sum()
    assert attributes["significance"] == pytest.approx(label[inside].sum() / np.sqrt((label[inside] == 0).sum()))
    assert attributes["data_in_window"] == inside.sum()
    assert attributes["data_in_range"] == len(label)


def test_order_is_independent_of_the_truth(tmp_path: Path) -> None:
    draw.make(toy(), RECIPE, tmp_path / "task.h5")
    places = np.flatnonzero(events.read(tmp_path / "task.h5", ["label"], "truth")["label"])
    total = len(events.read(tmp_path / "task.h5", ["m"], "data")["m"])
    assert abs(places.mean() / total - 0.5) < 5 / np.sqrt(12 * 300)


def test_a_seed_gives_the_same_bytes_and_another_seed_another_draw(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        draw.make(toy(), replace(RECIPE, seed=seed, data_events=10_000), tmp_path / f"{name}.h5")
    one, again, two = (tmp_path / f"{name}.h5" for name in ("one", "again", "two"))
    assert one.read_bytes() == again.read_bytes()
    signal = [
        set(events.read(path, ["number"], "data")["number"][events.read(path, ["label"], "truth")["label"] == 1])
        for path in (one, two)
    ]
    assert signal[0] != signal[1]
    assert numbers(one, "data") != numbers(two, "data")
    for group in ("test", "simulation"):  # what is measured on stays the same
        assert numbers(one, group) == numbers(two, group)


def test_background_that_the_data_leave_over_goes_to_the_reference(tmp_path: Path) -> None:
    all_of_it, few = tmp_path / "all.h5", tmp_path / "few.h5"
    draw.make(toy(), RECIPE, all_of_it)
    draw.make(toy(), replace(RECIPE, data_events=10_000), few)
    assert set(numbers(few, "reference")) > set(numbers(all_of_it, "reference"))
    assert not set(numbers(few, "reference")) & set(numbers(few, "data"))


def test_cuts_of_range_and_window(tmp_path: Path) -> None:
    path = tmp_path / "task.h5"
    draw.make(toy(), RECIPE, path)
    for group, (low, high) in {"data": RANGE, "simulation": RANGE, "reference": WINDOW, "test": RANGE}.items():
        mass = events.read(path, ["m"], group)["m"]
        assert low < mass.min() < mass.max() < high
    mass = events.read(path, ["m"], "test")["m"]  # at every mass, so that sculpting can be measured
    for low, high in ((2.0, 3.3), WINDOW, (3.7, 6.0)):
        assert events.in_window(mass, (low, high)).sum() > 100
    for group in ("reference", "test"):
        assert set(events.read(path, ["label"], group)["label"]) == {0, 1}


def test_target_masses_are_the_window_s_own_each_four_times(tmp_path: Path) -> None:
    path = tmp_path / "task.h5"
    draw.make(toy(), RECIPE, path)
    mass = events.read(path, ["m"], "data")["m"]
    inside = mass[events.in_window(mass, WINDOW)]
    with h5py.File(path) as file:
        target = file["target"][:]
        assert file["target"].attrs["unit"] == "TeV"
    np.testing.assert_array_equal(np.sort(target), np.sort(np.repeat(inside, 4)))
    assert not np.array_equal(target, np.repeat(inside, 4))
    assert abs(np.corrcoef(target[:-1], target[1:])[0, 1]) < 5 / np.sqrt(len(target))  # shuffled


def test_a_validation_window_leaves_the_signal_region_out(tmp_path: Path) -> None:
    path = tmp_path / "task.h5"
    draw.make(toy(labelled=False, further=None), draw.Recipe(RANGE, (2.8, 3.1), None, 1, masked=WINDOW), path)
    read = task.read(path)
    data = read.events("data")
    assert read.attributes["validation"] is True
    assert not read.labelled
    assert not events.in_window(data.mass, WINDOW).any()
    assert read.inside(data).sum() >= task.LEAST_EVENTS
    assert (data.mass > WINDOW[1]).any()
    with h5py.File(path) as file:
        assert set(file) == {"data", "target", "simulation"}


def test_data_events_are_drawn_before_the_cuts(tmp_path: Path) -> None:
    dataset, path = toy(), tmp_path / "task.h5"
    draw.make(dataset, replace(RECIPE, data_events=8000, injection=0), path)
    mass = dataset.data.mass[dataset.data.label == 0]
    share = ((mass > RANGE[0]) & (mass < RANGE[1])).mean()
    found = len(numbers(path, "data"))
    assert abs(found - 8000 * share) < 5 * np.sqrt(8000 * share * (1 - share))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": (3.7, 3.3)}, "does not lie inside the mass range"),
        ({"window": (1.9, 3.3)}, "does not lie inside the mass range"),
        ({"window": (3.5, 3.5001)}, r"the window 3.5-3.5001 TeV holds \d+ events"),
        ({"window": (2.001, 3.3)}, "the sideband below 2.001 TeV holds"),
        ({"window": (3.3, 5.999)}, "the sideband above 5.999 TeV holds"),
        ({"mass_range": (2000.0, 6000.0), "window": (3300.0, 3700.0)}, "masses look to be in TeV, but .* in GeV"),
        ({"mass_range": (2e-3, 6e-3), "window": (3.3e-3, 3.7e-3)}, "masses look to be in GeV, but .* in TeV"),
        ({"injection": 5000}, r"injection 5000: only \d+ signal events"),
        ({"data_events": 30_000}, "data_events: 30000 were asked for, the data set holds 20000"),
        ({"masked": (3.2, 3.8)}, "holds 0 events"),
        (
            {"oversampling": 1_000_000},
            r"oversampling: 1000000 times the \d+ events in the window are more than 50,000,000",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        draw.make(toy(), replace(RECIPE, **change), tmp_path / "task.h5")
    assert not list(tmp_path.iterdir())


def test_no_signal_goes_into_events_without_labels(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="these events have no labels"):
        draw.make(toy(labelled=False), RECIPE, tmp_path / "task.h5")


def test_labelled_events_without_an_injection_are_taken_as_they_are(tmp_path: Path) -> None:
    dataset, path = toy(further=None), tmp_path / "task.h5"
    draw.make(dataset, replace(RECIPE, injection=None), path)
    assert not task.read(path).labelled
    low, high = RANGE
    assert len(numbers(path, "data")) == ((dataset.data.mass > low) & (dataset.data.mass < high)).sum()


def test_read_back(tmp_path: Path) -> None:
    path = tmp_path / "task.h5"
    draw.make(toy(), RECIPE, path)
    read = task.read(path)
    assert (read.mass, read.features, read.window, read.mass_range) == ("m", {"number": 1, "x": 1}, WINDOW, RANGE)
    assert read.units == {"m": "TeV", "number": "", "x": ""}
    assert (read.seed, read.labelled) == (1, True)
    cell = read.cell()
    assert (cell["window"], cell["injection"], cell["seed"]) == ("3.3-3.7", "n300", "s1")
    assert read.events("data").label is None
    assert read.events("test").label is not None
    with h5py.File(tmp_path / "events.h5", "w") as file:
        file["m"] = [1.0]
    with pytest.raises(BadInput, match="not a task file"):
        task.read(tmp_path / "events.h5")


CHANGED: list[tuple[Callable[[h5py.File], Any], str]] = [
    (said(kind="scores"), "not a task file"),
    (said(mass=None), "attribute 'mass' is missing"),
    (said(mass=3), "attribute 'mass' must be a text"),
    (said(features="x"), "attribute 'features' must be a list of different names"),
    (said(features=[1, 2]), "attribute 'features' must be a list of different names"),
    (said(features=["x", "x"]), "attribute 'features' must be a list of different names"),
    (said(features=h5py.Empty("f4")), "attribute 'features' is missing"),
    (said(features=["x", "m"]), "names 'm' as mass and as a feature"),
    (said(features=["x", "z"]), "no column 'z' in '/data'"),
    (lambda file: file.attrs.update(smeared="x"), "attribute 'smeared' must be a list of different names"),
    (lambda file: file.attrs.update(smeared=["x", "m"]), "attribute 'smeared' names what is no feature"),
    (said(window=[3.3, 3.5, 3.7]), "attribute 'window' must be two rising numbers"),
    (said(window=[3.7, 3.3]), "attribute 'window' must be two rising numbers"),
    (said(window=[np.nan, 3.7]), "attribute 'window' must be two rising numbers"),
    (said(window="3.3-3.7"), "attribute 'window' must be two rising numbers"),
    (said(window=None), "attribute 'window' is missing"),
    (said(window=[1.0, 3.7]), "its window does not lie inside its mass range"),
    (said(mass_range=[2.0, np.inf]), "attribute 'mass_range' must be two rising numbers"),
    (said(seed=-1), "attribute 'seed' must be a whole number from 0 on"),
    (said(seed=1.0), "attribute 'seed' must be a whole number from 0 on"),
    (said(seed=np.uint64(2**64 - 1)), "attribute 'seed' must be a whole number from 0 on"),
    (said(seed=[1, 2]), "attribute 'seed' must be a whole number from 0 on"),
    (said(validation=3), "attribute 'validation' must be true or false"),
    (said(dataset_sha256=None), "attribute 'dataset_sha256' is missing"),
    (said(signal_in_window=0.5), "attribute 'signal_in_window' must be a whole number"),
    (replaced("target", None), "no column 'target'"),
    (replaced("target", []), "'target' must be numbers in the window"),
    (replaced("target", [[3.5]]), "'target' must be numbers in the window"),
    (replaced("target", [3.5, 3.8]), "'target' must be numbers in the window"),
    (replaced("target", [3.5, np.nan]), "'target' holds 1 NaN"),
    (replaced("data", None), "no group 'data'"),
    (replaced("data", 1.0), "no group 'data'"),
    (replaced("data/x", None), "no column 'x' in '/data'"),
    (replaced("data/x", np.ones(3)), "columns of unequal length"),
    (replaced("data/x", h5py.SoftLink("/data/x")), "no column 'x' in '/data'"),
    (replaced("simulation/x", np.ones((3000, 1))), "columns of unequal length|'simulation' has 'x' of shape"),
    (replaced("test", None), "no group 'test'"),
    (replaced("truth/label", [0, 1]), "'truth' and 'data' are of unequal length"),
    (replaced("truth", None), "no group 'truth'"),
    (doubled("truth/label"), "'truth' has labels other than 0 and 1"),
    (doubled("reference/label"), "'reference' has labels other than 0 and 1"),
    (widened("data/x"), r"'data' has 'x' of shape \(\d+, 1\)"),
    (widened("data/m"), r"'data' has 'm' of shape \(\d+, 1\)"),
    (widened("test/label"), r"'test' has 'label' of shape \(\d+, 1\)"),
    (lambda file: file["data/m"].attrs.create("unit", 5), "column 'm' has an attribute 'unit' that is not a line"),
]  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "task.h5"
    draw.make(toy(), RECIPE, path)
    return path


@pytest.mark.parametrize(("change", "message"), CHANGED)
def test_a_task_that_contradicts_itself_is_one_line(
    tmp_path: Path, drawn: Path, change: Callable[[h5py.File], Any], message: str
) -> None:
    path = tmp_path / "task.h5"
    shutil.copy(drawn, path)
    task.read(path)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(BadInput, match=message) as refused:
        task.read(path)
    assert str(path) in str(refused.value)


def test_texts_stored_as_bytes_are_texts(tmp_path: Path, drawn: Path) -> None:
    path = tmp_path / "task.h5"
    shutil.copy(drawn, path)
    with h5py.File(path, "a") as file:
        file["data/m"].attrs["unit"] = np.bytes_(b"TeV")
        file.attrs["kind"], file.attrs["features"] = np.bytes_(b"task"), np.array([b"number", b"x"])
    read, expected = task.read(path), task.read(drawn)
    assert (read.units, read.features) == (expected.units, expected.features)


def test_names_of_the_grid() -> None:
    assert task.window_name([3.3, 3.7]) == "3.3-3.7"
    assert task.window_name([3300, 3700.0]) == "3300-3700"
    assert (task.injection_name(500), task.injection_name(0), task.injection_name(None)) == ("n500", "n0", "observed")
    assert task.seed_name(7) == "s7"


def test_embedded_events_reach_every_group(small_task: Path) -> None:
    read = task.read(small_task)
    assert read.attributes["injection"] == 600
    assert 100 < read.attributes["signal_in_window"] <= 600
    for group in ("data", "simulation", "reference", "test"):
        assert len(read.events(group)) > 1000

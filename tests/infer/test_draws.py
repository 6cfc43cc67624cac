from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer import draws, events
from sideband.infer.errors import BadInput
from tests.infer.conftest import MASSES, WINDOW

INPUTS = {"noise": 3, "condition": 1, "source": 2, "source_condition": 1}


def test_blocks_are_the_same_however_they_are_grouped(toy_task: Path) -> None:
    one = draws.from_task(toy_task, INPUTS, "sideband", seed=4)
    other = draws.from_task(toy_task, INPUTS, "sideband", seed=4)
    single = [one.block(index) for index in (4, 0, 3, 1, 2)]  # in any order
    single = [single[place] for place in (1, 3, 4, 2, 0)]
    together = other.blocks(0, 5)
    for name, width in INPUTS.items():
        assert together[name].shape == (5000, width)
        assert together[name].dtype == np.float32
        np.testing.assert_array_equal(np.concatenate([block[name] for block in single]), together[name])
        np.testing.assert_array_equal(other.blocks(2, 2)[name], together[name][2000:4000])


def test_seeds_purposes_and_blocks_give_other_numbers() -> None:
    drawn = [
        draws.generator(seed, purpose, block).standard_normal(10_000)
        for seed in (1, 2)
        for purpose in ("noise", "source")
        for block in (0, 1)
    ]
    for one, other in combinations(drawn, 2):
        assert not np.isin(one, other).any()  # a stream that overlaps another would repeat its numbers
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(10_000)


def test_noise_is_standard_normal(toy_task: Path) -> None:
    noise = draws.from_task(toy_task, {"noise": 2}, None, seed=9).blocks(0, 100)["noise"].astype(float)
    size = noise.size
    assert abs(noise.mean()) < 5 / np.sqrt(size)
    assert abs(noise.var() - 1) < 5 * np.sqrt(2 / size)
    assert abs((noise**4).mean() - 3) < 5 * np.sqrt(96 / size)


def test_condition_runs_through_the_target_masses_again_and_again(toy_task: Path) -> None:
    with h5py.File(toy_task) as file:
        target = file["target_mass"][:]
    condition = draws.from_task(toy_task, {"condition": 1}, None, seed=0).blocks(0, 3)["condition"][:, 0]
    np.testing.assert_array_equal(condition, target[np.arange(3000) % MASSES])


def test_noise_and_sources_do_not_depend_on_the_target_masses(toy_task: Path, tmp_path: Path) -> None:
    other = tmp_path / "task.h5"
    other.write_bytes(toy_task.read_bytes())
    with h5py.File(other, "a") as file:
        del file["target_mass"]
        file["target_mass"] = np.float32([3.4, 3.6])
    one = draws.from_task(toy_task, INPUTS, "sideband", seed=4).block(1)
    two = draws.from_task(other, INPUTS, "sideband", seed=4).block(1)
    for name in ("noise", "source", "source_condition"):
        np.testing.assert_array_equal(one[name], two[name])
    assert set(two["condition"][:, 0]) == {np.float32(3.4), np.float32(3.6)}


@pytest.mark.parametrize(
    ("source", "group"), [("sideband", "data"), ("signal region", "data"), ("simulation", "simulation")]
)
def test_sources_are_whole_events_drawn_evenly(toy_task: Path, source: str, group: str) -> None:
    columns = events.read(toy_task, ["x", "y", "m"], group)
    table = np.stack(list(columns.values()), axis=1)
    beside = (columns["m"] <= np.float32(WINDOW[0])) | (columns["m"] >= np.float32(WINDOW[1]))
    if group == "data":
        table = table[beside if source == "sideband" else ~beside]
    feeds = draws.from_task(toy_task, INPUTS, source, seed=2).blocks(0, 100)
    drawn = np.concatenate([feeds["source"], feeds["source_condition"]], axis=1)
    rows = {tuple(row): index for index, row in enumerate(table)}
    counts = np.bincount([rows[tuple(row)] for row in drawn], minlength=len(table))  # KeyError: not an event of it
    mean = len(drawn) / len(table)
    chi2 = ((counts - mean) ** 2 / mean).sum()
    assert abs(chi2 - len(table)) < 5 * np.sqrt(2 * len(table))


def test_signal_region_events_keep_their_masses(toy_task: Path) -> None:
    feeds = draws.from_task(toy_task, INPUTS, "signal region", seed=2).block(0)
    np.testing.assert_array_equal(feeds["condition"], feeds["source_condition"])
    assert events.in_window(feeds["condition"], WINDOW).all()


def test_anchors_lie_beside_the_window(toy_task: Path) -> None:
    inputs = {"noise": 2, "condition": 1, "anchor_low": 1, "anchor_high": 1}
    feeds = draws.from_task(toy_task, inputs, None, 2, margin=0.25).block(3)
    width = WINDOW[1] - WINDOW[0]
    for name, mass in (("anchor_low", WINDOW[0] - 0.25 * width), ("anchor_high", WINDOW[1] + 0.25 * width)):
        np.testing.assert_array_equal(feeds[name], np.full((1000, 1), mass, np.float32))
    assert draws.anchors((3.3, 3.7), (2.3, 5.0), 0.25) == pytest.approx((3.2, 3.8))


@pytest.mark.parametrize(
    ("margin", "said"), [(0.0, "outside the window"), (-0.1, "outside the window"), (4.0, "outside the data")]
)
def test_anchors_elsewhere_are_refused(margin: float, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        draws.anchors((3.3, 3.7), (2.3, 5.0), margin)


def test_a_file_that_is_no_task_is_refused(toy_task: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as file:
        file["m"] = np.ones(3)
    with pytest.raises(BadInput, match="not a task file"):
        draws.from_task(path, {"noise": 1}, None, seed=0)
    path.write_bytes(toy_task.read_bytes())
    with h5py.File(path, "a") as file:
        del file["simulation"]
    with pytest.raises(BadInput, match="needs 'simulation' events"):
        draws.from_task(path, INPUTS, "simulation", seed=0)

from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer import draws, events
from sideband.infer.errors import BadInput
from sideband.infer.inputs import Constant, Drawn, Noise, Rows, Target, described, parsed
from sideband.infer.metadata import Port
from tests.infer.conftest import MASSES, WINDOW


def noise_of(width: int) -> Port:
    return Port(("noise",), ("",), (width,), Noise())


def mass(drawn: Drawn) -> Port:
    return Port(("m",), ("TeV",), (1,), drawn)


def inputs(rows: Rows, own_mass: bool = False) -> dict[str, Port]:
    """Those of a template that starts from events."""
    condition = mass(rows if own_mass else Target())
    source = Port(("x", "y"), ("", ""), (1, 1), rows)
    return {"noise": noise_of(3), "condition": condition, "source": source, "source_condition": mass(rows)}


SIDEBANDS = inputs(Rows("data", "sidebands"))


def test_blocks_are_the_same_however_they_are_grouped(toy_task: Path) -> None:
    one = draws.from_task(toy_task, SIDEBANDS, seed=4)
    other = draws.from_task(toy_task, SIDEBANDS, seed=4)
    single = [one.block(index) for index in (4, 0, 3, 1, 2)]  # in any order
    single = [single[place] for place in (1, 3, 4, 2, 0)]
    together = other.blocks(0, 5)
    for name, port in SIDEBANDS.items():
        assert together[name].shape == (5000, port.width)
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
    noise = draws.from_task(toy_task, {"noise": noise_of(2)}, seed=9).blocks(0, 100)["noise"].astype(float)
    size = noise.size
    assert abs(noise.mean()) < 5 / np.sqrt(size)
    assert abs(noise.var() - 1) < 5 * np.sqrt(2 / size)
    assert abs((noise**4).mean() - 3) < 5 * np.sqrt(96 / size)


def test_condition_runs_through_the_targetes_again_and_again(toy_task: Path) -> None:
    with h5py.File(toy_task) as file:
        target = file["target"][:]
    condition = draws.from_task(toy_task, {"condition": mass(Target())}, seed=0).blocks(0, 3)["condition"][:, 0]
    np.testing.assert_array_equal(condition, target[np.arange(3000) % MASSES])


def test_noise_and_sources_do_not_depend_on_the_targetes(toy_task: Path, tmp_path: Path) -> None:
    other = tmp_path / "task.h5"
    other.write_bytes(toy_task.read_bytes())
    with h5py.File(other, "a") as file:
        del file["target"]
        file["target"] = np.float32([3.4, 3.6])
    one = draws.from_task(toy_task, SIDEBANDS, seed=4).block(1)
    two = draws.from_task(other, SIDEBANDS, seed=4).block(1)
    for name in ("noise", "source", "source_condition"):
        np.testing.assert_array_equal(one[name], two[name])
    assert set(two["condition"][:, 0]) == {np.float32(3.4), np.float32(3.6)}


@pytest.mark.parametrize(
    "rows", [Rows("data", "sidebands"), Rows("data", "signal region"), Rows("data"), Rows("simulation")]
)
def test_sources_are_whole_events_drawn_evenly(toy_task: Path, rows: Rows) -> None:
    columns = events.read(toy_task, ["x", "y", "m"], rows.group)
    table = np.stack(list(columns.values()), axis=1)
    beside = (columns["m"] <= np.float32(WINDOW[0])) | (columns["m"] >= np.float32(WINDOW[1]))
    if rows.region != "all":
        table = table[beside if rows.region == "sidebands" else ~beside]
    feeds = draws.from_task(toy_task, inputs(rows), seed=2).blocks(0, 100)
    drawn = np.concatenate([feeds["source"], feeds["source_condition"]], axis=1)
    places = {tuple(row): index for index, row in enumerate(table)}
    counts = np.bincount([places[tuple(row)] for row in drawn], minlength=len(table))  # KeyError: not an event of it
    mean = len(drawn) / len(table)
    chi2 = ((counts - mean) ** 2 / mean).sum()
    assert abs(chi2 - len(table)) < 5 * np.sqrt(2 * len(table))


def test_signal_region_events_keep_their_masses(toy_task: Path) -> None:
    feeds = draws.from_task(toy_task, inputs(Rows("data", "signal region"), own_mass=True), seed=2).block(0)
    np.testing.assert_array_equal(feeds["condition"], feeds["source_condition"])
    assert events.in_window(feeds["condition"], WINDOW).all()


def test_rows_in_turn_are_taken_once_each_before_any_is_taken_again(toy_task: Path) -> None:
    rows = Rows("data", "signal region", "turn")
    drawn = draws.from_task(toy_task, inputs(rows, own_mass=True), seed=2)
    data = events.read(toy_task, ["x", "m"], "data")
    inside = events.in_window(data["m"], WINDOW)
    assert drawn.count == inside.sum()
    feeds = drawn.blocks(0, 3)
    place = np.arange(3000) % drawn.count
    np.testing.assert_array_equal(feeds["source"][:, 0], data["x"][inside][place])
    np.testing.assert_array_equal(feeds["condition"][:, 0], data["m"][inside][place])


def test_rows_of_a_file_of_their_own(toy_task: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        for group, sign in (("low", 1), ("high", -1)):
            for name in ("m", "x", "y"):
                file[f"{group}/{name}"] = sign * np.arange(30, dtype=np.float32)
    low, high = (Rows(group, order="turn", file="rows.h5") for group in ("low", "high"))
    ports = {"condition": mass(Target()), "low_condition": mass(low), "high_condition": mass(high)}
    drawn = draws.from_task(toy_task, ports, seed=1, beside=tmp_path)
    assert drawn.count == MASSES  # one event for each target mass, with whichever pair
    feeds = drawn.block(1)
    np.testing.assert_array_equal(feeds["low_condition"][:, 0], np.arange(1000, 2000) % 30)
    np.testing.assert_array_equal(feeds["high_condition"], -feeds["low_condition"])
    with pytest.raises(BadInput, match=r"rows\.h5"):
        draws.from_task(toy_task, ports, seed=1, beside=tmp_path / "elsewhere")


def test_anchors_lie_beside_the_window(toy_task: Path) -> None:
    ports = {f"anchor_{edge}": mass(Constant(edge, 0.25)) for edge in ("low", "high")}
    feeds = draws.from_task(toy_task, ports, 2).block(3)
    width = WINDOW[1] - WINDOW[0]
    for name, at in (("anchor_low", WINDOW[0] - 0.25 * width), ("anchor_high", WINDOW[1] + 0.25 * width)):
        np.testing.assert_array_equal(feeds[name], np.full((1000, 1), at, np.float32))
    assert Constant("low", 0.25).value((3.3, 3.7), (2.3, 5.0)) == pytest.approx(3.2)
    assert Constant("high", 0.25).value((3.3, 3.7), (2.3, 5.0)) == pytest.approx(3.8)


@pytest.mark.parametrize(
    ("margin", "said"), [(0.0, "outside the window"), (-0.1, "outside the window"), (4.0, "outside the data")]
)
def test_anchors_elsewhere_are_refused(margin: float, said: str) -> None:
    for edge in ("low", "high"):
        with pytest.raises(BadInput, match=said):
            Constant(edge, margin).value((3.3, 3.7), (2.3, 5.0))


@pytest.mark.parametrize(
    "drawn", [Noise(), Target(), Rows("data"), Rows("low", "all", "turn", "rows.h5"), Constant("high", 0.25)]
)
def test_what_is_described_is_parsed_again(drawn: Drawn) -> None:
    assert parsed(described(drawn)) == drawn


@pytest.mark.parametrize(
    "said",
    [
        *(None, [], {}, {"kind": "nowhere"}, {"kind": "noise", "group": "data"}, {"kind": "rows"}),
        *({"kind": "rows", "group": "a/b"}, {"kind": "rows", "group": "data", "region": "moon"}),
        *({"kind": "rows", "group": "low", "file": "../x.h5"}, {"kind": "constant", "edge": "low", "margin": True}),
        {"kind": "constant", "edge": "left", "margin": 0.25},
    ],
)
def test_what_no_export_describes_is_refused(said: object) -> None:
    assert parsed(said) is None


def test_a_file_that_is_no_task_is_refused(toy_task: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as file:
        file["m"] = np.ones(3)
    with pytest.raises(BadInput, match="not a task file"):
        draws.from_task(path, {"noise": noise_of(1)}, seed=0)
    path.write_bytes(toy_task.read_bytes())
    with h5py.File(path, "a") as file:
        del file["simulation"]
    with pytest.raises(BadInput, match="needs 'simulation' events"):
        draws.from_task(path, inputs(Rows("simulation")), seed=0)

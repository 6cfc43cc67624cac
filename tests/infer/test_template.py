from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer import draws, events, template
from sideband.infer.columns import ROW, SOURCE_ROW
from sideband.infer.errors import BadInput, GateFailed
from sideband.infer.model import Model
from tests.infer import graphs
from tests.infer.conftest import MASSES, WINDOW, kill


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(graphs.template(tmp_path / "template.onnx"))


def test_events_are_the_graph_of_the_draws(model: Model, toy_task: Path, tmp_path: Path) -> None:
    out = tmp_path / "template.h5"
    assert template.generate(model, toy_task, out, 2500, seed=3) == 2500
    feeds = draws.from_task(toy_task, model.inputs, seed=3).blocks(0, 3)
    found = events.read(out, ["m", "x", "y"])
    np.testing.assert_array_equal(found["m"], feeds["condition"][:2500, 0])
    expected = (feeds["noise"].astype(float) @ graphs.SPREAD + feeds["condition"] * graphs.SLOPE)[:2500]
    np.testing.assert_allclose(np.stack([found["x"], found["y"]], axis=1), expected, atol=1e-5)


def test_the_file_says_what_it_is(model: Model, toy_task: Path, tmp_path: Path) -> None:
    out = tmp_path / "template.h5"
    assert template.generate(model, toy_task, out) == MASSES  # by default each target mass once, the trained seed
    with h5py.File(out) as file:
        assert list(file) == ["m", "x", "y"]
        assert {name: data.attrs["unit"] for name, data in file.items()} == {"m": "TeV", "x": "TeV", "y": ""}
        attributes = dict(file.attrs)
    assert attributes["model_sha256"] == model.sha256
    assert attributes["task_sha256"] == events.sha256(toy_task)
    assert (attributes["seed"], attributes["count"], attributes["provider"]) == (1, MASSES, "cpu")


@pytest.mark.parametrize(("threads", "batch_blocks"), [(1, 1), (3, 1), (2, 4)])
def test_the_first_events_do_not_depend_on_count_threads_or_batch(
    model: Model, toy_task: Path, tmp_path: Path, threads: int, batch_blocks: int
) -> None:
    template.generate(model, toy_task, tmp_path / "few.h5", 1300, threads=1)
    template.generate(model, toy_task, tmp_path / "many.h5", 12_345, threads=threads, batch_blocks=batch_blocks)
    few, many = (events.read(tmp_path / f"{name}.h5", ["m", "x", "y"]) for name in ("few", "many"))
    for name, values in few.items():
        np.testing.assert_allclose(many[name][:1300], values, rtol=1e-6, atol=1e-6)
        if batch_blocks == 1:
            np.testing.assert_array_equal(many[name][:1300], values)
        assert len(many[name]) == 12_345


@pytest.mark.parametrize("graph", [graphs.morphing, graphs.weighted])
def test_events_name_the_rows_that_they_began_as(
    graph: Callable[[Path], Path], toy_task: Path, task_of_files: Path, tmp_path: Path
) -> None:
    model, paths = Model(graph(tmp_path / "template.onnx")), (tmp_path / "with.h5", tmp_path / "without.h5")
    for path, task in zip(paths, (task_of_files, toy_task), strict=True):
        template.generate(model, task, path, 7500, seed=2, threads=3)
    found, same = (events.read(path, ["m", "x", "y"]) for path in paths)
    for name in found:
        np.testing.assert_array_equal(found[name], same[name])
    with h5py.File(paths[1]) as file:
        assert SOURCE_ROW not in file
    rows = events.whole(paths[0], [SOURCE_ROW])[SOURCE_ROW].astype(int)
    data = {name: values[::-1][rows - 100] for name, values in events.read(toy_task, ["m", "x", "y"], "data").items()}
    shift = graphs.SLOPE * (found["m"] - data["m"])[:, None] if graph is graphs.morphing else np.zeros((7500, 2))
    np.testing.assert_allclose(
        np.column_stack([data["x"], data["y"]]) + shift, np.column_stack([found["x"], found["y"]]), atol=1e-5
    )


def test_rows_that_are_no_rows_are_refused(task_of_files: Path, tmp_path: Path) -> None:
    model = Model(graphs.morphing(tmp_path / "template.onnx"))
    for values, words in (
        (np.zeros(3, np.uint32), "one number an event"),
        (np.zeros(7000), "one whole number an event"),
    ):
        with h5py.File(task_of_files, "a") as file:
            del file[f"data/{ROW}"]
            file[f"data/{ROW}"] = values
        with pytest.raises(BadInput, match=words):
            template.generate(model, task_of_files, tmp_path / "out.h5")


def test_other_seeds_give_other_events(model: Model, toy_task: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        template.generate(model, toy_task, tmp_path / f"{seed}.h5", seed=seed)
    one, two = (events.read(tmp_path / f"{seed}.h5", ["m", "x"]) for seed in (1, 2))
    np.testing.assert_array_equal(one["m"], two["m"])  # the masses are the task's, whatever the seed
    assert not np.isin(one["x"], two["x"]).any()


def test_sideband_events_are_moved_to_the_target_masses(toy_task: Path, tmp_path: Path) -> None:
    model = Model(graphs.morphing(tmp_path / "template.onnx"))
    template.generate(model, toy_task, tmp_path / "out.h5", 3000)
    found = events.read(tmp_path / "out.h5", ["m", "x", "y"])
    assert events.in_window(found["m"], WINDOW).all()
    data = events.read(toy_task, ["m", "x", "y"], "data")
    # x - m and y + 3 m are kept by this graph, so each made event names the event it came from.
    made = np.stack([found["x"] - found["m"], found["y"] + 3 * found["m"]], axis=1)
    there = np.stack([data["x"] - data["m"], data["y"] + 3 * data["m"]], axis=1)[~events.in_window(data["m"], WINDOW)]
    distance = np.abs(made[:, None, :] - there[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-5


def test_a_weighted_template_holds_its_weights(toy_task: Path, tmp_path: Path) -> None:
    model, out = Model(graphs.weighted(tmp_path / "template.onnx")), tmp_path / "out.h5"
    data = events.read(toy_task, ["m", "x", "y"], "data")
    inside = {name: values[events.in_window(data["m"], WINDOW)] for name, values in data.items()}
    assert template.generate(model, toy_task, out) == len(inside["m"])  # each event of the window once
    found = events.read(out, ["m", "x", "y", "weight"])
    np.testing.assert_array_equal(found["weight"], found["x"])
    for name, values in inside.items():
        np.testing.assert_array_equal(found[name], values)
    expected = tmp_path / "torch.h5"
    expected.write_bytes(out.read_bytes())
    with h5py.File(expected, "a") as file:
        file["weight"][7] += 1
    with pytest.raises(GateFailed, match="weight differs from the torch template"):
        template.compare(model, expected, out)


def test_a_signal_makes_its_own_masses(toy_task: Path, tmp_path: Path) -> None:
    out = tmp_path / "signal.h5"
    template.generate(Model(graphs.signal(tmp_path / "signal.onnx")), toy_task, out, 1500)
    made = events.read(out, ["m", "x", "y"])
    noise = np.concatenate(
        [draws.generator(1, "noise", block).standard_normal((1000, 2), dtype=np.float32) for block in (0, 1)]
    )
    np.testing.assert_allclose(np.column_stack([made["x"], made["y"]]), (noise @ graphs.SPREAD)[:1500], atol=1e-5)
    assert (made["m"] == 3.5).all()
    with h5py.File(out) as file:
        assert file.attrs["kind"] == "signal"
        assert file["m"].attrs["unit"] == "TeV"


def test_a_template_with_rows_of_its_own_reads_them_beside_its_graph(toy_task: Path, tmp_path: Path) -> None:
    model, out = Model(graphs.interpolating(tmp_path / "template.onnx")), tmp_path / "out.h5"
    with pytest.raises(BadInput, match=r"source\.h5"):
        template.generate(model, toy_task, out)
    low = {"m": 3.0, "x": 1.0, "y": 2.0}
    with h5py.File(tmp_path / "source.h5", "w") as file:
        for name, value in low.items():
            file[f"low/{name}"] = np.full(5, value, np.float32)
    before = (tmp_path / "source.h5").read_bytes()
    with pytest.raises(BadInput, match=r"source\.h5"):
        template.generate(model, toy_task, tmp_path / "source.h5")
    assert (tmp_path / "source.h5").read_bytes() == before
    assert template.generate(model, toy_task, out) == MASSES
    found = events.read(out, ["m", "x", "y"])
    np.testing.assert_allclose(found["x"], 1 + (found["m"] - 3), atol=1e-5)
    np.testing.assert_allclose(found["y"], 2 - 3 * (found["m"] - 3), atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_killed_template_goes_on_to_the_same_bytes(
    model: Model, toy_task: Path, tmp_path: Path, threads: int
) -> None:
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    kill(23, model.path, f"generate(model, {str(toy_task)!r}, {str(out)!r}, 40_000, threads={threads})")
    assert not out.exists()
    made = template.generate(model, toy_task, out, 40_000, threads=threads)
    assert 40_000 - 22_000 <= made < 40_000
    template.generate(model, toy_task, whole, 40_000, threads=1)
    assert out.read_bytes() == whole.read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_cannot_make_a_template_is_refused(model: Model, toy_task: Path, tmp_path: Path) -> None:
    score = Model(graphs.score(tmp_path / "score.onnx"))
    out = tmp_path / "out.h5"
    with pytest.raises(BadInput, match="is a 'score' graph, not a template"):
        template.generate(score, toy_task, out)
    with pytest.raises(BadInput, match="at least one event"):
        template.generate(model, toy_task, out, count=0)
    assert not out.exists()


def test_compare_holds_every_event_to_the_tolerance(model: Model, toy_task: Path, tmp_path: Path) -> None:
    made, expected = tmp_path / "made.h5", tmp_path / "torch.h5"
    template.generate(model, toy_task, made)
    expected.write_bytes(made.read_bytes())
    assert template.compare(model, expected, made) == 0
    with h5py.File(expected, "a") as file:
        largest = float(file["y"][123])
        tolerance = 1e-4 + 1e-4 * abs(largest)
        file["y"][123] = largest + 0.5 * tolerance
    assert template.compare(model, expected, made) == pytest.approx(0.5, rel=0.02)
    with h5py.File(expected, "a") as file:
        file["y"][123] = largest + 3 * tolerance
    with pytest.raises(GateFailed, match=r"y differs from the torch template by (2\.9|3)"):
        template.compare(model, expected, made)
    assert not made.exists()
    assert expected.exists()


def test_compare_wants_as_many_events(model: Model, toy_task: Path, tmp_path: Path) -> None:
    for name, count in (("made", 700), ("torch", 600)):
        template.generate(model, toy_task, tmp_path / f"{name}.h5", count)
    with pytest.raises(BadInput, match="holds 600 events"):
        template.compare(model, tmp_path / "torch.h5", tmp_path / "made.h5")

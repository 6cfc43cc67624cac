from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer import events
from sideband.infer.errors import BadInput
from sideband.infer.model import Model
from sideband.infer.score import score
from tests.infer import graphs
from tests.infer.conftest import EVENTS, kill


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(graphs.score(tmp_path / "score.onnx"))


def closed_form(task: Path, group: str = "data") -> np.ndarray:
    columns = events.read(task, ["x", "y"], group)
    return columns["x"] + 2 * columns["y"]


@pytest.mark.parametrize("threads", [1, 3])
def test_every_event_has_its_score(model: Model, toy_task: Path, tmp_path: Path, threads: int) -> None:
    out = tmp_path / "scores.h5"
    assert score([model], toy_task, out, "data", threads) == EVENTS
    found = events.read(out, ["score", "clamped"])
    np.testing.assert_allclose(found["score"], closed_form(toy_task), atol=1e-6)
    x = events.read(toy_task, ["x"], "data")["x"]
    np.testing.assert_array_equal(found["clamped"], (x < 0) | (x > 1))
    assert 0 < found["clamped"].sum() < EVENTS
    with h5py.File(out) as file:
        attributes = dict(file.attrs)
    assert attributes["model_sha256"] == model.sha256
    assert (attributes["group"], attributes["count"]) == ("data", EVENTS)


def test_scores_keep_where_events_stand_in_their_files(model: Model, toy_task: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).permutation(EVENTS).astype(np.uint32) + np.uint32(2**31)  # beyond float32
    with h5py.File(toy_task, "a") as file:
        file["data"]["event_row"] = rows
    try:
        score([model], toy_task, tmp_path / "scores.h5", "data", 3)
    finally:
        with h5py.File(toy_task, "a") as file:
            del file["data"]["event_row"]
    np.testing.assert_array_equal(events.whole(tmp_path / "scores.h5", ["event_row"])["event_row"], rows)


def test_the_number_of_events_need_not_fill_a_block(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as file:
        for name in "xy":
            file[name] = np.random.default_rng(0).uniform(size=5_777).astype(np.float32)
    score([model], path, tmp_path / "scores.h5")
    np.testing.assert_allclose(events.read(tmp_path / "scores.h5", ["score"])["score"], closed_form(path, "/"), 1e-5)


def test_folds_go_by_row(toy_task: Path, tmp_path: Path) -> None:
    weights = (1.0, -1.0, 10.0)
    models = [Model(graphs.score(tmp_path / f"fold{i}.onnx", weight)) for i, weight in enumerate(weights)]
    score(models, toy_task, tmp_path / "scores.h5", "data", threads=2)
    found = events.read(tmp_path / "scores.h5", ["score"])["score"]
    expected = closed_form(toy_task) * np.array(weights)[np.arange(EVENTS) % 3]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with h5py.File(tmp_path / "scores.h5") as file:
        assert file.attrs["model_sha256"] == ",".join(model.sha256 for model in models)


def test_killed_scores_go_on_to_the_same_bytes(model: Model, tmp_path: Path) -> None:
    path, out, whole = tmp_path / "events.h5", tmp_path / "out.h5", tmp_path / "whole.h5"
    with h5py.File(path, "w") as file:
        for name in "xy":
            file[name] = np.random.default_rng(0).uniform(size=12_000).astype(np.float32)
    kill(8, model.path, f"score([model], {str(path)!r}, {str(out)!r}, threads=1)")
    assert not out.exists()
    assert score([model], path, out) == 7_000  # the first chunk of 5,000 is kept
    score([model], path, whole)
    assert out.read_bytes() == whole.read_bytes()


def test_what_cannot_score_is_refused(
    model: Model, toy_task: Path, tmp_path: Path, toy_events: Callable[..., Path]
) -> None:
    out = tmp_path / "scores.h5"
    with pytest.raises(BadInput, match="is a template graph, it has no score"):
        score([Model(graphs.template(tmp_path / "template.onnx"))], toy_task, out)
    other = {"features": {"columns": ["y", "x"], "units": ["", "TeV"]}}
    with pytest.raises(BadInput, match="give the folds of one model"):
        score([model, Model(graphs.score(tmp_path / "other.onnx", inputs=other))], toy_task, out)
    with pytest.raises(BadInput, match="no column 'x'"):
        score([model], toy_events(tmp_path / "own.h5", 10), out)
    with pytest.raises(BadInput, match="no group 'test'"):
        score([model], toy_task, out, "test")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["x"], file["y"] = [], []
    with pytest.raises(BadInput, match="no events"):
        score([model], tmp_path / "empty.h5", out)
    assert not out.exists()


def test_an_encoder_writes_its_latents(toy_task: Path, tmp_path: Path) -> None:
    encoder = Model(graphs.encoder(tmp_path / "encoder.onnx"))
    assert score([encoder], toy_task, tmp_path / "latents.h5", "data", threads=2) == EVENTS
    found = events.read(tmp_path / "latents.h5", ["latent"])["latent"]
    columns = events.read(toy_task, ["x", "y", "m"], "data")
    expected = np.stack([columns["x"] - columns["m"], columns["y"], columns["m"]], 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)

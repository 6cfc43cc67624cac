"""A graph takes the events it was made for, and no others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import onnx
import pytest

from sideband.infer import events, purpose, score, template
from sideband.infer.errors import BadInput
from sideband.infer.model import Model
from tests.conftest import Outcome
from tests.infer import graphs
from tests.infer.conftest import MASSES

Change = Callable[[h5py.File], None]


def whole(task: Path, path: Path, change: Change | None = None) -> Path:
    """The toy task with everything a task says of itself, changed."""
    path.write_bytes(task.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs.update({"kind": "task", "dataset_sha256": "ours"})
        for group in (file, file["data"], file["simulation"]):
            for name, unit in (("m", "TeV"), ("target", "TeV"), ("x", "TeV"), ("y", "")):
                if name in group:
                    group[name].attrs["unit"] = unit
        if change is not None:
            change(file)
    return path


def attribute(name: str, value: Any) -> Change:
    return lambda file: file.attrs.__setitem__(name, value)


def unit(column: str, value: str) -> Change:
    return lambda file: file[f"data/{column}"].attrs.__setitem__("unit", value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (attribute("window", [2.6, 2.9]), r"belongs to the window 2\.6-2\.9, but .* is for 3\.3-3\.7 only"),
        (attribute("dataset_sha256", "theirs"), "was drawn from other data than"),
        (attribute("features", ["y", "x"]), "its features are y, x, and .* was fitted to x, y"),
        (unit("x", "GeV"), r"'data/x' is in GeV, and .* was fitted to 'x' in TeV; convert it"),
    ],
)
def test_a_task_of_something_else_is_refused(toy_task: Path, tmp_path: Path, change: Change, said: str) -> None:
    model = Model(graphs.score(tmp_path / "score.onnx", dataset_sha256="ours"))
    good, other = whole(toy_task, tmp_path / "good.h5"), whole(toy_task, tmp_path / "other.h5", change)
    assert score.score([model], good, tmp_path / "scores.h5", "data")
    with pytest.raises(BadInput, match=said):
        score.score([model], other, tmp_path / "none.h5", "data")
    assert not (tmp_path / "none.h5").exists()


@pytest.mark.parametrize("change", [attribute("window", [2.6, 2.9]), attribute("mass", "x")])
def test_a_template_wants_its_own_task(toy_task: Path, tmp_path: Path, change: Change) -> None:
    model = Model(graphs.template(tmp_path / "template.onnx", dataset_sha256="ours"))
    assert template.generate(model, whole(toy_task, tmp_path / "good.h5"), tmp_path / "out.h5") == MASSES
    with pytest.raises(BadInput, match=str(model.path)):
        template.generate(model, whole(toy_task, tmp_path / "other.h5", change), tmp_path / "none.h5")
    assert not (tmp_path / "none.h5").exists()


def test_masses_in_another_unit_are_refused(toy_task: Path, tmp_path: Path) -> None:
    model = Model(graphs.template(tmp_path / "template.onnx"))
    task = whole(toy_task, tmp_path / "task.h5", lambda file: file["target"].attrs.__setitem__("unit", "GeV"))
    with pytest.raises(BadInput, match="'target' is in GeV"):
        template.generate(model, task, tmp_path / "none.h5")


def test_only_a_graph_that_serves_every_window_takes_another_one(
    command: Callable[..., Outcome], toy_task: Path, tmp_path: Path
) -> None:
    other = whole(toy_task, tmp_path / "other.h5", attribute("window", [2.6, 2.9]))
    path = graphs.template(tmp_path / "template.onnx", scope="all")
    done = command("infer", "template", path, "--task", other, "--out", tmp_path / "out.h5")
    assert done.status == 0
    assert "toy serves every window: exported with 3.3-3.7, used in 2.6-2.9" in done.out
    # What it made belongs to that other window, and the classifier of the first one does not take it.
    with pytest.raises(BadInput, match=r"belongs to the window 2\.6-2\.9"):
        score.score([Model(graphs.score(tmp_path / "score.onnx", scope="all"))], tmp_path / "out.h5", tmp_path / "none")


def test_events_of_somebody_else_need_only_the_columns(toy_task: Path, tmp_path: Path) -> None:
    model = Model(graphs.score(tmp_path / "score.onnx", dataset_sha256="ours"))
    with h5py.File(tmp_path / "events.h5", "w") as file:
        events.write(file, events.read(toy_task, ["x", "y"], "data"))
    purpose.check(model, tmp_path / "events.h5", "/")
    assert purpose.other_window(model, tmp_path / "events.h5") == ""


def test_a_column_has_as_many_numbers_an_event_as_the_graph_takes(toy_task: Path, tmp_path: Path) -> None:
    def widened(file: h5py.File) -> None:
        values = file["data/x"][:]
        del file["data/x"]
        file["data/x"] = values[:, None]

    other = whole(toy_task, tmp_path / "other.h5", widened)
    with pytest.raises(BadInput, match=r"'data/x' has the shape \(7000, 1\)"):
        score.score([Model(graphs.score(tmp_path / "score.onnx"))], other, tmp_path / "none.h5", "data")


def test_noise_has_no_place_in_a_file(toy_task: Path, tmp_path: Path) -> None:
    noise = {"columns": ["noise"], "units": [""], "widths": [2], "drawn": {"kind": "noise"}}
    inputs = {"noise": noise, "condition": graphs.TARGET}
    path = graphs.template(tmp_path / "template.onnx")
    graph = onnx.load(path)
    (entry,) = [entry for entry in graph.metadata_props if entry.key == "inputs"]
    entry.value = json.dumps(inputs)
    onnx.save(graph, path)
    assert template.generate(Model(path), whole(toy_task, tmp_path / "task.h5"), tmp_path / "out.h5") == MASSES

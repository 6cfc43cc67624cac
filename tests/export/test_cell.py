import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest

from benchmarks import task
from export import graph
from infer import events, model
from infer.model import Model
from train import ports, saved

STEMS = ("template", "score", "fold0", "fold1")


def test_every_graph_reproduces_its_check_vectors(exported: Path) -> None:
    for stem in STEMS:
        (worst,) = model.check(exported / f"{stem}.onnx").values()
        assert worst <= 0.1
    with np.load(exported / "check.npz") as vectors:
        assert {name.split(".")[0] for name in vectors} == set(STEMS)
        assert vectors["template.input.source"].shape == (64, 5)


def test_metadata_says_all_that_a_user_elsewhere_needs(exported: Path, small_task: Path) -> None:
    template, score = Model(exported / "template.onnx"), Model(exported / "score.onnx")
    the_task = task.read(small_task)
    assert (template.role, score.role) == ("template", "score")
    assert template.inputs["source"].columns == template.outputs["features"].columns == tuple(the_task.features)
    assert template.inputs["condition"].columns == template.inputs["source_condition"].columns == ("m_jj",)
    assert template.units()["m_jj"] == the_task.units["m_jj"] == "TeV"
    assert score.inputs["features"].columns == tuple(the_task.features)
    told = template.metadata
    assert told["method"] == "transit"
    assert told["paper"] == "arXiv:2503.04342"
    assert (told["source"], told["scope"], told["licence"]) == ("sideband", "window", "MIT")
    assert (told["window"], told["mass_range"], told["injection"], told["seed"]) == (
        [3.3, 3.7], [2.3, 5.0], "n600", "1")  # fmt: skip
    assert told["dataset_sha256"] == the_task.attributes["dataset_sha256"]
    assert told["settings"]["method"]["hidden"] == 32
    assert told["settings"]["classifier"]["members"] == 2
    assert told["flop_per_event"] > 1000
    assert score.metadata["flop_per_event"] is None
    assert (told["cpu_only"], score.metadata["cpu_only"]) == (False, True)
    assert told["versions"]["torch"]
    assert told["code"]
    assert 0 < told["parity"]["against_torch"] <= 1
    assert len(told["parity"]["atol"]) == 5
    fitted = told["fitted_range"]
    data = the_task.events("data")
    sidebands = data.features[~the_task.inside(data)]
    for column, name in enumerate(the_task.features):
        low, high = float(sidebands[:, column].min()), float(sidebands[:, column].max())
        assert fitted[name] == pytest.approx([low, high], rel=0, abs=1e-5 * (high - low))


def test_the_report_of_an_export_holds_the_parity_of_each_file(exported: Path) -> None:
    report = json.loads((exported / "export.json").read_text())
    assert [entry["file"] for entry in report] == [f"{stem}.onnx" for stem in STEMS]
    for entry in report:
        content = (exported / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["against_torch"] <= 1


@pytest.mark.parametrize("size", [1, 5, 1001])
def test_the_template_graph_morphs_as_the_module_does(exported: Path, small_task: Path, size: int) -> None:
    import torch

    the_task = task.read(small_task)
    data = the_task.events("data")[:size]
    feeds = {
        "condition": np.linspace(3.3, 3.7, size, dtype=np.float32)[:, None],
        "source": data.features,
        "source_condition": data.mass[:, None],
    }
    module = saved.load(exported / "model.pt").modules["template"]
    expected = ports.run(module, {name: torch.from_numpy(values) for name, values in feeds.items()}).numpy()
    opened = Model(exported / "template.onnx")
    found = opened.run(feeds)["features"]
    parity = opened.metadata["parity"]
    assert model.deviation(found, expected, np.asarray(parity["atol"]), parity["rtol"]) <= 1


def test_the_tree_graphs_are_the_ensembles_of_the_fit(exported: Path, small_task: Path) -> None:
    features = task.read(small_task).events("test").features
    fit = saved.load(exported / "model.pt")
    scores = []
    for stem, trees in zip(STEMS[1:], (fit.classifier, *fit.folds), strict=True):
        found = Model(exported / f"{stem}.onnx").run({"features": features})["score"][:, 0]
        np.testing.assert_allclose(found, trees.predict(features), atol=2e-6)
        scores.append(found)
    assert np.std(scores, axis=0).max() > 0


def test_exporting_again_gives_the_same_bytes(cell: Path, small_task: Path, command) -> None:
    """With the traced graph at hand as much as without it."""
    before = {path.name: path.read_bytes() for path in cell.glob("*.onnx")}
    out = cell.parent / "again"
    done = command(
        "export", "cell", cell / "model.pt", "--task", small_task, "--out", out, "--cache", cell.parent / "graphs"
    )
    assert done.status == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.onnx")} == before
    assert (out / "check.npz").exists()


def spoil_sign(traced: onnx.ModelProto) -> None:
    """A graph that computes something else with the right weights."""
    node = next(node for node in reversed(traced.graph.node) if node.op_type == "Add")
    node.op_type = "Sub"


def spoil_noise(traced: onnx.ModelProto) -> None:
    """A graph that draws its own random numbers."""
    last = traced.graph.node[-1]
    result = last.output[0]
    last.output[0] = "before"
    traced.graph.node.append(onnx.helper.make_node("RandomNormalLike", ["before"], ["drawn"], scale=1e-12))
    traced.graph.node.append(onnx.helper.make_node("Add", ["before", "drawn"], [result]))


@pytest.mark.parametrize(
    ("spoil", "reason"), [(spoil_sign, "times the tolerance"), (spoil_noise, "holds a random node")]
)
def test_a_failing_gate_leaves_no_file_that_looks_good(
    spoil: Callable[[onnx.ModelProto], None], reason: str, cell: Path, small_task: Path, command
) -> None:
    (cached,) = (cell.parent / "graphs").glob("*.onnx")
    traced = onnx.load(cached)
    spoil(traced)
    onnx.save(traced, cached)
    done = command("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.startswith(f"failed: {cell / 'template.onnx'}: ")
    assert reason in line
    # The cell had been exported before: nothing of that may pass for the result of this call.
    left = {path.name for path in cell.iterdir()}
    assert not left & {"template.onnx", "check.npz", "export.json"}
    assert not [name for name in left if name.endswith(".tmp")]


def test_trees_that_send_events_the_wrong_way_are_refused(
    cell: Path, small_task: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_rounded_down", lambda values: (values * 1.01).astype(np.float32))
    done = command("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert done.status == 1
    assert f"{cell / 'score.onnx'}: differs from the fitted module" in done.err
    assert not (cell / "score.onnx").exists()


def test_a_task_of_other_events_is_refused(cell: Path, small_task: Path, command, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(small_task.read_bytes())
    with h5py.File(other, "a") as file:
        file.attrs["dataset_sha256"] = "0" * 64
    kept = (cell / "template.onnx").read_bytes()
    assert "is not the task" in command("export", "cell", cell / "model.pt", "--task", other).refused()
    assert (cell / "template.onnx").read_bytes() == kept


def test_the_template_of_the_fit_comes_out_of_the_graph(cell: Path, small_task: Path, command) -> None:
    """Event by event, in a process that knows the graph and the task alone."""
    out = cell / "template.h5"
    expected = cell / "template_torch.h5"
    done = command(
        "infer", "template", cell / "template.onnx", "--task", small_task, "--out", out, "--expect", expected
    )
    assert done.status == 0, done.err
    found, drawn = (events.read(path, ["m_jj", "m_j1", "dr_jj"]) for path in (out, expected))
    np.testing.assert_array_equal(found["m_jj"], drawn["m_jj"])
    np.testing.assert_allclose(found["dr_jj"], drawn["dr_jj"], atol=1e-4)

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from torch import Tensor

from sideband.benchmarks.events import task
from sideband.export import graph
from sideband.export.describe import describe
from sideband.export.part import Part
from sideband.infer import events, model
from sideband.infer.inputs import Rows, Target
from sideband.infer.meaning import PROBABILITY
from sideband.infer.model import Model
from sideband.train import ports, saved
from sideband.train.cell import fit_cell
from tests.train.test_files import largest_file

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
    assert (told["mass"], told["mass_unit"]) == ("m_jj", "TeV")
    assert score.outputs["score"].meaning == PROBABILITY
    assert told["paper"] == "arXiv:2503.04342"
    assert (told["scope"], told["licence"]) == ("window", "MIT")
    drawn = {name: port.drawn for name, port in template.inputs.items()}
    assert drawn == {
        "condition": Target(),
        "source": Rows("data", "sidebands", "turn"),
        "source_condition": Rows("data", "sidebands", "turn"),
    }
    assert (told["window"], told["mass_range"], told["injection"], told["seed"]) == (
        [3.3, 3.7], [2.3, 5.0], "n600", "1")  # fmt: skip
    assert told["dataset_sha256"] == the_task.attributes["dataset_sha256"]
    assert told["settings"]["shared"]["morph"]["net"]["hidden"] == 32
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
    (expected,) = ports.run(module, {name: torch.from_numpy(values) for name, values in feeds.items()})
    opened = Model(exported / "template.onnx")
    found = opened.run(feeds)["features"]
    parity = opened.metadata["parity"]
    assert model.deviation(found, expected.numpy(), np.asarray(parity["atol"]), parity["rtol"]) <= 1


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


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


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
@pytest.mark.parametrize("earlier", [True, False])
def test_a_failing_gate_leaves_everything_as_it_was(
    spoil: Callable[[onnx.ModelProto], None],
    reason: str,
    earlier: bool,
    cell: Path,
    small_task: Path,
    command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoiled(path: Path) -> tuple[onnx.ModelProto, dict[str, Any]] | None:
        known = kept(path)
        assert known is not None
        spoil(known[0])
        return known

    kept = graph._kept
    monkeypatch.setattr(graph, "_kept", spoiled)
    for path in [] if earlier else [*cell.glob("*.onnx"), cell / "check.npz", cell / "export.json"]:
        path.unlink()
    before = contents(cell)
    done = command("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.startswith(f"failed: {cell / 'template.onnx'}: ")
    assert reason in line
    assert contents(cell) == before


def test_trees_that_send_events_the_wrong_way_are_refused(
    cell: Path, small_task: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(cell)
    monkeypatch.setattr(graph, "_rounded_down", lambda values: (values * 1.01).astype(np.float32))
    done = command("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert done.status == 1
    assert f"{cell / 'score.onnx'}: differs from the fitted module" in done.err
    assert contents(cell) == before


@pytest.mark.parametrize(
    "attributes", [{"dataset_sha256": "0" * 64}, {"seed": 2}, {"injection": 0}, {"mass_range": [2.0, 5.0]}]
)
def test_another_task_is_refused(
    attributes: dict[str, Any], cell: Path, small_task: Path, command, tmp_path: Path
) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(small_task.read_bytes())
    with h5py.File(other, "a") as file:
        file.attrs.update(attributes)
    before = contents(cell)
    line = command("export", "cell", cell / "model.pt", "--task", other).refused()
    assert f"is not the task that {cell / 'model.pt'} was fitted on (another {next(iter(attributes))})" in line
    assert contents(cell) == before


def test_the_export_of_another_fit_replaces_everything(cell: Path, small_task: Path, command) -> None:
    fit = saved.load(cell / "model.pt")
    fit.folds.pop()
    fit.save(cell / "model.pt")
    (cell / "density.onnx").write_bytes(b"of somebody else")
    (cell / "notes.onnx").write_bytes(b"of somebody else")
    done = command("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert done.status == 0
    left = contents(cell)
    assert "fold1.onnx" not in left  # which nothing vouches for any more
    assert left["density.onnx"] == left["notes.onnx"] == b"of somebody else"
    with np.load(cell / "check.npz") as vectors:
        assert {name.split(".")[0] for name in vectors} == {"template", "score", "fold0"}


def test_a_kill_while_files_get_their_names_leaves_an_export_unfinished(
    cell: Path, small_task: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed: list[str] = []
    replace = os.replace

    def killed(source: str, target: Path) -> None:
        if not Path(target).name.startswith("."):  # which are temporary themselves
            if renamed:
                raise KeyboardInterrupt
            renamed.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    given = ("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert command(*given).status == 130
    assert renamed
    assert renamed[0].endswith(".onnx")
    assert not (cell / "check.npz").exists()
    assert "check.npz: no such file" in command("infer", "check", cell / "score.onnx").refused()
    monkeypatch.setattr(os, "replace", replace)
    assert command(*given).status == 0
    assert command("infer", "check", *(cell / f"{stem}.onnx" for stem in STEMS)).status == 0
    assert not [name for name in contents(cell) if name.endswith((".tmp", ".lock"))]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("", "is not the name of a folder"),
        ("model.pt", "is not a folder"),
        ("/proc/inside", "cannot be written"),
        ("x" * 300, "cannot be written"),
        ("taken", "taken/check.npz: cannot be written (a folder is there)"),
        ("linked", "linked/score.onnx: cannot be written (a symbolic link is there)"),
        ("inputs", "inputs/export.json: is an input of this command"),
    ],
)
def test_places_that_cannot_be_written_are_refused(
    out: str, words: str, cell: Path, small_task: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cell)
    for folder in ("taken/check.npz", "linked", "inputs"):
        Path(folder).mkdir(parents=True)
    Path("linked/score.onnx").symlink_to("elsewhere")
    os.link("model.pt", "inputs/export.json")
    before = sorted(cell.rglob("*"))
    assert words in command("export", "cell", "model.pt", "--task", small_task, "--out", out).refused()
    if out in ("", "model.pt", "/proc/inside"):
        assert words in command("export", "cell", "model.pt", "--task", small_task, "--cache", out).refused()
    assert sorted(cell.rglob("*")) == before


def test_a_full_disk_leaves_the_earlier_export(cell: Path, small_task: Path, command) -> None:
    before = contents(cell)
    with largest_file(5000):
        line = command("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert "cannot be written (File too large)" in line.refused()
    assert contents(cell) == before


def test_a_module_without_finite_values_is_told_as_such(
    cell: Path, small_task: Path, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = saved.load(cell / "model.pt")
    template = fit.modules["template"]

    class Overflowing(type(template)):  # type: ignore[misc]
        def forward(self, condition: Tensor, source: Tensor, source_condition: Tensor) -> Tensor:
            return super().forward(condition, source, source_condition) / 0

    template.__class__ = Overflowing
    monkeypatch.setattr(saved, "load", lambda path: fit)  # which finds no fault with weights that only overflow
    done = command("export", "cell", cell / "model.pt", "--task", small_task, "--cache", cell.parent / "graphs")
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.endswith("the fitted module itself gives values that are not finite; fit it again")


def test_a_classifier_of_mlps_is_exported(cell: Path, small_task: Path, command, tmp_path: Path) -> None:
    settings = {"kind": "mlp", "members": 2, "hidden": 4, "layers": 1, "training": {"steps": 10}}
    fit_cell("cwola", small_task, tmp_path / "mlp", {}, settings, {})
    assert command("export", "cell", tmp_path / "mlp" / "model.pt", "--task", small_task).status == 0
    score = Model(tmp_path / "mlp" / "score.onnx")
    assert (score.metadata["cpu_only"], score.metadata["scope"]) == (False, "window")
    assert command("infer", "check", tmp_path / "mlp" / "score.onnx").status == 0


@pytest.mark.parametrize(
    ("method", "role", "scope"),
    [
        ("sigma", "template", "all"),
        ("sigma", "density", "all"),
        ("sigma", "score", "window"),  # its classifier has seen one window's data alone
        ("sigma_cr", "template", "window"),
        ("curtainsf4f_efficient", "template", "window"),  # its top flow has
        ("feta", "template", "window"),
        ("cathode", "template", "window"),
        ("anode", "score", "window"),
    ],
)
def test_what_serves_every_window_says_so(method: str, role: str, scope: str, exported: Path, small_task: Path) -> None:
    fit = saved.load(exported / "model.pt")
    fit.method, fit.needs = method, {}
    part = Part(role, role, fit.modules["template"])
    assert describe(fit, task.read(small_task), part, ("features",), None)["scope"] == scope


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

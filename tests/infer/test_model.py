import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from sideband.infer import model
from sideband.infer.errors import BadInput
from sideband.infer.inputs import Noise, Target
from sideband.infer.model import Model, Port
from tests.infer import graphs


def test_a_file_says_what_it_is_and_runs(tmp_path: Path) -> None:
    found = Model(graphs.template(tmp_path / "template.onnx"))
    assert (found.role, found.provider, found.metadata["window"]) == ("template", "cpu", [3.3, 3.7])
    assert found.inputs == {
        "noise": Port(("noise_0", "noise_1"), ("", ""), (1, 1), Noise()),
        "condition": Port(("m",), ("TeV",), (1,), Target()),
    }
    assert found.outputs == {"features": Port(("x", "y"), ("TeV", ""), (1, 1))}
    assert found.units() == {"noise_0": "", "noise_1": "", "m": "TeV", "x": "TeV", "y": ""}
    noise = np.float32([[1, 0], [0, 1], [2, 2]])
    condition = np.float32([[3.4], [3.5], [3.6]])
    columns = found.columns(found.run({"noise": noise, "condition": condition}))
    np.testing.assert_allclose(columns["x"], 3.4 + 0.1 * np.arange(3) + noise @ [0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(columns["y"], -3 * condition[:, 0] + noise @ [-1, 2], rtol=1e-6)


def test_the_digest_is_the_file_s(tmp_path: Path) -> None:
    one, two = graphs.score(tmp_path / "a.onnx"), graphs.score(tmp_path / "b.onnx", weight=2)
    assert Model(one).sha256 == Model(graphs.score(tmp_path / "c.onnx")).sha256 != Model(two).sha256


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "score.onnx"
    with pytest.raises(BadInput, match="no such file"):
        Model(path)
    with pytest.raises(BadInput, match=r"not one of Sideband's \(its producer is 'pytorch'\)"):
        Model(graphs.foreign(path))
    path.write_bytes(graphs.score(path).read_bytes()[:100])
    with pytest.raises(BadInput, match="ONNX Runtime cannot open it"):
        Model(path)
    graphs.score(path, role="toy")
    with pytest.raises(BadInput, match="metadata is damaged"):
        Model(path)
    inputs = {"features_of_old": graphs.FEATURES}
    with pytest.raises(BadInput, match="its inputs are not those its metadata names"):
        Model(graphs.score(path, inputs=inputs))


@pytest.mark.parametrize("key", sorted(model.STRUCTURED))
def test_metadata_must_be_complete_and_readable(tmp_path: Path, key: str) -> None:
    path = graphs.score(tmp_path / "score.onnx")
    graph = onnx.load(path)
    (entry,) = [entry for entry in graph.metadata_props if entry.key == key]
    entry.value = "{not json"
    onnx.save(graph, path)
    with pytest.raises(BadInput, match="metadata is damaged"):
        Model(path)
    graph.metadata_props.remove(entry)
    onnx.save(graph, path)
    with pytest.raises(BadInput, match="metadata is damaged"):
        Model(path)


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is there")
def test_cuda_asked_for_and_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"CUDAExecutionProvider was asked for, but this onnxruntime .* lacks it"):
        Model(graphs.score(tmp_path / "score.onnx"), provider="cuda")


def test_a_silent_fallback_to_the_cpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    def falls_back(content: bytes, options: object, providers: object) -> object:
        return real(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(model.PROVIDERS.values()))
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    with pytest.raises(BadInput, match="CUDAExecutionProvider was asked for and did not start"):
        Model(graphs.score(tmp_path / "score.onnx"), provider="cuda")


def test_trees_are_refused_on_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = model._session
    monkeypatch.setattr(model, "_session", lambda content, path, provider, threads: cpu(content, path, "cpu", threads))
    path = graphs.score(tmp_path / "score.onnx", cpu_only=True)
    with pytest.raises(BadInput, match="tree ensembles run on the CPU provider only"):
        Model(path, provider="cuda")
    assert Model(path).role == "score"


@pytest.mark.parametrize("build", [graphs.template, graphs.score])
def test_check_vectors_are_reproduced_and_corruption_is_seen(tmp_path: Path, build: object) -> None:
    assert callable(build)
    path = build(tmp_path / f"{build.__name__}.onnx")
    vectors = graphs.check_vectors(path)
    (name,) = Model(path).outputs
    assert model.check(path)[name] <= 1
    with np.load(vectors) as stored:
        content = dict(stored)
    key = f"{path.stem}.output.{name}"
    for wrong in (content[key][-1, -1] * 1.001 + 0.001, np.nan):
        changed = content[key].copy()
        changed[-1, -1] = wrong
        np.savez(vectors, **content | {key: changed})
        assert model.check(path)[name] > 1


def test_check_needs_the_vectors_of_this_very_file(tmp_path: Path) -> None:
    path = graphs.score(tmp_path / "score.onnx")
    with pytest.raises(BadInput, match=r"check\.npz: no such file"):
        model.check(path)
    graphs.check_vectors(path)
    path.rename(tmp_path / "fold0.onnx")
    with pytest.raises(BadInput, match=r"holds no vectors for fold0\.onnx"):
        model.check(tmp_path / "fold0.onnx")


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("score.output.score", np.zeros((0, 1), np.float32)),
        ("score.output.score", np.zeros((64, 2), np.float32)),
        ("score.input.features", np.zeros((3, 2), np.float32)),
        ("score.input.features", np.zeros((64, 2), np.float64)),
        ("score.atol", np.array([np.nan])),
        ("score.atol", np.array([1e9])),  # with this anything would be reproduced
        ("score.atol", np.array([1e-5, 1e-5])),
        ("score.rtol", np.array(-1.0)),
        ("score.rtol", np.array("none")),
    ],
)
def test_check_vectors_that_would_pass_anything_are_refused(tmp_path: Path, key: str, wrong: np.ndarray) -> None:
    path = graphs.score(tmp_path / "score.onnx")
    vectors = graphs.check_vectors(path)
    with np.load(vectors) as stored:
        content = dict(stored)
    np.savez(vectors, **content | {key: wrong})
    with pytest.raises(BadInput, match=r"check\.npz: damaged check vectors; export score\.onnx again"):
        model.check(path)


def test_no_events_are_not_a_reproduction(tmp_path: Path) -> None:
    path = graphs.score(tmp_path / "score.onnx")
    vectors = graphs.check_vectors(path)
    with np.load(vectors) as stored:
        content = {name: values[:0] if values.ndim == 2 else values for name, values in stored.items()}
    np.savez(vectors, **content)
    assert model.check(path) == {"score": np.inf}


def test_damaged_check_vectors_are_refused(tmp_path: Path) -> None:
    path = graphs.score(tmp_path / "score.onnx")
    vectors = graphs.check_vectors(path)
    content = vectors.read_bytes()
    for damaged in (b"", content[:100], content[: len(content) // 2], content.replace(b"NUMPY", b"NUMPI")):
        vectors.write_bytes(damaged)
        with pytest.raises(BadInput, match="damaged check vectors"):
            model.check(path)


def test_a_digest_beside_the_file_is_checked(tmp_path: Path) -> None:
    path, record = graphs.score(tmp_path / "score.onnx"), tmp_path / "export.json"
    assert not Model(path).verified
    record.write_text(json.dumps([{"file": "score.onnx", "sha256": Model(path).sha256}]))
    assert Model(path).verified
    graphs.score(path, weight=1.0001)  # a sound file, with other weights
    with pytest.raises(BadInput, match="is not the file that was exported"):
        Model(path)
    record.write_text("[{")
    with pytest.raises(BadInput, match=r"export\.json: damaged"):
        Model(path)


def test_what_a_graph_cannot_take_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    opened = Model(graphs.score(tmp_path / "score.onnx"))
    with pytest.raises(BadInput, match="ONNX Runtime cannot run it"):
        opened.run({"features": np.zeros((1, 7), np.float32)})
    with pytest.raises(BadInput, match="gives NaN or infinite score"):
        opened.finite({"features": np.full((1, 2), np.inf, np.float32)})
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("window", [3.7, 3.3]),
        ("window", "all"),
        ("mass_range", [2.3]),
        ("inputs", {"features": {"columns": ["x", "y"], "units": [""]}}),
        ("outputs", {"score": {"columns": ["score"], "units": [""], "widths": [2]}}),
        ("outputs", {"score": {"columns": ["a/b"], "units": [""]}}),
        ("fitted_range", {"z": [0, 1]}),
        ("fitted_range", {"x": [1, None]}),
        ("settings", ["anchor_margin"]),
        ("parity", {"atol": [1e-4, 1e-4], "rtol": 1e-4}),
        ("parity", {"atol": [1e-4]}),
        ("flop_per_event", -1),
        ("seed", "-1"),
        ("cpu_only", 0),
    ],
)
def test_edited_metadata_are_refused(tmp_path: Path, key: str, wrong: object) -> None:
    path = graphs.score(tmp_path / "score.onnx", **({} if key in ("inputs", "outputs") else {key: wrong}))
    if key in ("inputs", "outputs"):
        graph = onnx.load(path)
        (entry,) = [entry for entry in graph.metadata_props if entry.key == key]
        entry.value = json.dumps(wrong)
        onnx.save(graph, path)
    with pytest.raises(BadInput, match=r"metadata is damaged|not those its metadata names"):
        Model(path)


@pytest.mark.parametrize(
    "drawn", [None, {"kind": "nowhere"}, {"kind": "rows", "group": "a/b"}, {"kind": "constant", "edge": "left"}]
)
def test_a_template_whose_inputs_do_not_say_how_they_are_drawn_is_refused(tmp_path: Path, drawn: object) -> None:
    path = graphs.template(tmp_path / "template.onnx")
    graph = onnx.load(path)
    (entry,) = [entry for entry in graph.metadata_props if entry.key == "inputs"]
    entry.value = json.dumps({"noise": {**graphs.NOISE, "drawn": drawn}, "condition": graphs.TARGET})
    onnx.save(graph, path)
    with pytest.raises(BadInput, match="wrong 'inputs'"):
        Model(path)


def test_deviation_of_nothing_or_of_no_number_is_infinite() -> None:
    nothing = np.zeros((0, 2))
    assert model.deviation(nothing, nothing, 1.0, 1.0) == np.inf
    one = np.ones((1, 1))
    for atol in (np.nan, 0.0):
        assert model.deviation(one, one, atol, 0.0) == np.inf
    assert model.deviation(one, np.ones((2, 1)), 1.0, 1.0) == np.inf


def test_deviation_is_in_units_of_the_tolerance() -> None:
    expected = np.array([[1.0, 10.0], [0.0, -10.0]])
    assert model.deviation(expected, expected, 1e-3, 1e-3) == 0
    found = expected + np.array([[0.002, 0.0], [0.0, 0.0]])
    assert model.deviation(found, expected, 1e-3, 1e-3) == pytest.approx(1.0)
    found = expected + np.array([[0.0, 0.0], [0.0, 0.11]])
    assert model.deviation(found, expected, np.array([1e-3, 1e-2]), 1e-3) == pytest.approx(5.5)
    assert model.deviation(np.array([np.nan]), np.array([np.nan]), 1.0, 1.0) == np.inf
    assert model.deviation(np.array([np.inf]), np.array([np.inf]), 1.0, 1.0) == np.inf

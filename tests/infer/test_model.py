from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from infer import model
from infer.errors import BadInput
from infer.model import Model, Port
from tests.infer import graphs


def test_a_file_says_what_it_is_and_runs(tmp_path: Path) -> None:
    found = Model(graphs.template(tmp_path / "template.onnx"))
    assert (found.role, found.provider, found.metadata["window"]) == ("template", "cpu", [3.3, 3.7])
    assert found.inputs == {
        "noise": Port(("noise_0", "noise_1"), ("", ""), (1, 1)),
        "condition": Port(("m",), ("TeV",), (1,)),
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


def test_deviation_is_in_units_of_the_tolerance() -> None:
    expected = np.array([[1.0, 10.0], [0.0, -10.0]])
    assert model.deviation(expected, expected, 1e-3, 1e-3) == 0
    found = expected + np.array([[0.002, 0.0], [0.0, 0.0]])
    assert model.deviation(found, expected, 1e-3, 1e-3) == pytest.approx(1.0)
    found = expected + np.array([[0.0, 0.0], [0.0, 0.11]])
    assert model.deviation(found, expected, np.array([1e-3, 1e-2]), 1e-3) == pytest.approx(5.5)
    assert model.deviation(np.array([np.nan]), np.array([np.nan]), 1.0, 1.0) == np.inf
    assert model.deviation(np.array([np.inf]), np.array([np.inf]), 1.0, 1.0) == np.inf

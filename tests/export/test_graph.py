import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.export import graph
from sideband.export.gates import check_graph
from sideband.train import ports
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.methods.search import drapes, sigma
from sideband.train.nets.autoregressive import summed
from sideband.train.nets.diffusion import Denoiser, ladder
from sideband.train.nets.flow import StackedLinear
from sideband.train.nets.velocity import FlowMatching, NetSettings

Array = NDArray[np.float32]


def run(model: onnx.ModelProto, events: Array) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"features": events})
    return found[:, 0]


@pytest.fixture(scope="module")
def fitted() -> list[HistGradientBoostingClassifier]:
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 3000)
    # Values on a coarse grid lie exactly on many splits.
    features = (random.normal(size=(3000, 3)) + 0.5 * label[:, None]).round(1).astype(np.float32)
    kinds = ({"max_bins": 15}, {"max_leaf_nodes": 4}, {"max_iter": 1})
    settings = {"max_iter": 12, "early_stopping": False, "random_state": 0}
    return [HistGradientBoostingClassifier(**{**settings, **kind}).fit(features, label) for kind in kinds]


def test_merged_trees_give_the_mean_of_sklearns_probabilities(fitted: list[HistGradientBoostingClassifier]) -> None:
    trees = TreeEnsemble.merge([TreeEnsemble.from_sklearn(one) for one in fitted])
    model = graph.from_trees(trees)
    check_graph(model, Path("score.onnx"))
    assert [node.op_type for node in model.graph.node].count("TreeEnsembleRegressor") == 1
    random = np.random.default_rng(1)
    splits = np.stack([random.choice(trees.threshold[trees.left >= 0], 500) for _ in range(3)], axis=1)
    events = np.concatenate([random.normal(size=(1000, 3)).round(1), splits, 1e6 * random.normal(size=(50, 3))])
    events = events.astype(np.float32)
    expected = np.mean([one.predict_proba(events)[:, 1] for one in fitted], axis=0)
    np.testing.assert_allclose(run(model, events), expected, atol=2e-6)


def test_a_shift_of_the_log_odds_is_exported(fitted: list[HistGradientBoostingClassifier]) -> None:
    events = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    shifted = 1 / (1 + np.exp(-(fitted[0].decision_function(events) - 2.0)))
    model = graph.from_trees(TreeEnsemble.from_sklearn(fitted[0], shift=-2.0))
    np.testing.assert_allclose(run(model, events), shifted, atol=2e-6)


def test_thresholds_rounded_down_move_no_float32_event() -> None:
    random = np.random.default_rng(3)
    exact = np.concatenate([random.normal(size=500) * 10.0 ** random.integers(-30, 30, 500), [0.0, 0.1, -0.1, 1 / 3]])
    rounded = graph._rounded_down(exact)
    assert rounded.dtype == np.float32
    near = [exact.astype(np.float32)]
    near += [np.nextafter(near[0], np.float32(side)) for side in (-np.inf, np.inf)]
    for events in near:
        np.testing.assert_array_equal(events.astype(np.float64) <= exact, events <= rounded)


class Small(nn.Module):
    """Weights of every kind: a layer, a stack of one member, a scale, and some of which the graph has nothing."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = StackedLinear(1, 3, 4), nn.Linear(4, 1)
        self.register_buffer("scale", torch.rand(3, 1) + 1)
        self.register_buffer("spare", torch.rand(5))
        self.requires_grad_(False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.first((features.T / self.scale)[None])[0])
        return self.second(hidden.T)


EXAMPLE = {"features": np.random.default_rng(2).normal(size=(7, 3)).astype(np.float32)}


def test_a_cached_graph_with_other_weights_is_the_one_traced_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, other = Small(1), Small(2), Small(3)
    graph.from_module(one, EXAMPLE, ["score"], tmp_path, "toy")
    graph.from_module(two, EXAMPLE, ["score"], tmp_path, "toy")
    fresh = graph.from_module(other, EXAMPLE, ["score"])
    monkeypatch.delattr(graph, "_traced")
    cached = graph.from_module(other, EXAMPLE, ["score"], tmp_path, "toy")
    assert cached.SerializeToString(deterministic=True) == fresh.SerializeToString(deterministic=True)
    expected = other(torch.from_numpy(EXAMPLE["features"]))[:, 0]
    np.testing.assert_allclose(run(cached, EXAMPLE["features"]), expected, rtol=1e-5)
    with pytest.raises(NameError, match="_traced"):  # another identity is another graph
        graph.from_module(other, EXAMPLE, ["score"], tmp_path, "another toy")


def test_weights_that_stand_in_the_graph_are_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Small(1), Small(3)
    other.spare.copy_(one.spare)
    graph.from_module(one, EXAMPLE, ["score"], tmp_path, "toy")
    fresh = graph.from_module(other, EXAMPLE, ["score"])
    monkeypatch.delattr(graph, "_traced")
    cached = graph.from_module(other, EXAMPLE, ["score"], tmp_path, "toy")
    assert cached.SerializeToString(deterministic=True) == fresh.SerializeToString(deterministic=True)


def test_a_damaged_cached_graph_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = graph.from_module(Small(1), EXAMPLE, ["score"], tmp_path, "toy").SerializeToString(deterministic=True)
    (cached,) = tmp_path.glob("*.onnx")
    whole = cached.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(Small(1).scale.numpy().tobytes())] ^= 1
    other = onnx.load(cached)
    next(node for node in other.graph.node if node.op_type == "Relu").op_type = "Neg"
    for content in (whole[: len(whole) // 2], bytes(flipped), other.SerializeToString()):
        cached.write_bytes(content)
        capsys.readouterr()
        found = graph.from_module(Small(1), EXAMPLE, ["score"], tmp_path, "toy")
        assert capsys.readouterr().out == f"{cached}: damaged; traced anew\n"
        assert found.SerializeToString(deterministic=True) == expected
        graph.from_module(Small(1), EXAMPLE, ["score"], tmp_path, "toy")
        assert capsys.readouterr().out == ""


def test_the_same_weights_again_are_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows share a fit: what is worked out from its weights is then the same, and not so for the next draw's."""
    for module in (Baked(1), Baked(1), Baked(2), Baked(2), Baked(3)):
        found = graph.from_module(module, EXAMPLE, ["score"], tmp_path, "toy")
        expected = module(torch.from_numpy(EXAMPLE["features"]))[:, 0]
        np.testing.assert_allclose(run(found, EXAMPLE["features"]), expected, rtol=1e-5)
    monkeypatch.delattr(graph, "_traced")
    graph.from_module(Baked(3), EXAMPLE, ["score"], tmp_path, "toy")  # needs no tracing


def test_only_weights_that_have_differed_are_proven(tmp_path: Path) -> None:
    def with_scale(seed: int, scale: float) -> Small:
        module = BakedScale(seed)
        module.scale.fill_(scale)
        module.constant = module.number
        return module

    for module in (with_scale(1, 1.5), with_scale(2, 1.5), with_scale(3, 1.5), with_scale(4, 2.5)):
        found = graph.from_module(module, EXAMPLE, ["score"], tmp_path, "toy")
        expected = module(torch.from_numpy(EXAMPLE["features"]))[:, 0]
        np.testing.assert_allclose(run(found, EXAMPLE["features"]), expected, rtol=1e-5)


class Folding(Small):
    """Works something out from its weights alone, which the exporter does once and for all, but not when it traces."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(features) + self.second(torch.ones(1, 4))


class Baked(Small):
    """Holds a number that follows from its weights, which tracing takes for a constant."""

    @property
    def number(self) -> float:
        return self.second.weight.sum().item()

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.constant = self.number

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(features) + self.constant


class BakedScale(Baked):
    """The same, of one weight that is hardly ever another."""

    @property
    def number(self) -> float:
        return self.scale.sum().item()


class Settled(Small):
    """Has a buffer that its fit does not keep, because the settings say what is in it."""

    def __init__(self, seed: int, levels: list[float]) -> None:
        super().__init__(seed)
        self.levels: torch.Tensor
        self.register_buffer("levels", torch.tensor(levels), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(features) + self.levels.sum()


def test_buffers_that_no_fit_keeps_are_those_of_each_module(tmp_path: Path) -> None:
    for levels in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0, 7.0]):
        for seed in (1, 2):
            module = Settled(seed, levels)
            found = graph.from_module(module, EXAMPLE, ["score"], tmp_path, "toy")
            expected = module(torch.from_numpy(EXAMPLE["features"]))[:, 0]
            np.testing.assert_allclose(run(found, EXAMPLE["features"]), expected, rtol=1e-5)
    assert len(list(tmp_path.glob("*.onnx"))) == 3


def test_what_is_worked_out_from_weights_is_that_of_each_module(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        module = Baked(seed)
        found = graph.from_module(module, EXAMPLE, ["score"], tmp_path, "toy")
        expected = module(torch.from_numpy(EXAMPLE["features"]))[:, 0]
        np.testing.assert_allclose(run(found, EXAMPLE["features"]), expected, rtol=1e-5)


def test_constants_are_worked_out_after_weights_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (1, 2):
        graph.from_module(Folding(seed), EXAMPLE, ["score"], tmp_path, "toy")
    monkeypatch.delattr(graph, "_traced")
    module = Folding(3)
    found = graph.from_module(module, EXAMPLE, ["score"], tmp_path, "toy")
    expected = module(torch.from_numpy(EXAMPLE["features"]))[:, 0]
    np.testing.assert_allclose(run(found, EXAMPLE["features"]), expected, rtol=1e-5)


def test_a_traced_graph_says_nothing_of_where_it_was_made(tmp_path: Path) -> None:
    model = graph.from_module(Small(1), EXAMPLE, ["score"], tmp_path, "toy")
    text = model.SerializeToString()
    for word in (b"/site-packages/", b"torch.", str(Path(__file__).parent).encode(), b"pkg."):
        assert word not in text
    (cached,) = tmp_path.glob("*.onnx")
    (entry,) = onnx.load(cached).metadata_props
    assert sorted(json.loads(entry.value)["places"].values()) == sorted({*Small(1).state_dict()} - {"spare"})


@pytest.mark.parametrize("name", ["drapes_sb", "sigma_linear"])
def test_samplers_are_one_scan_at_any_batch(name: str) -> None:
    """Variants that the smoke suite leaves out: a start from events, and two passes a step."""
    torch.manual_seed(0)
    shape = NetSettings(hidden=4, blocks=1)
    template = {
        "drapes_sb": lambda: drapes.FromEvents(Denoiser(2, shape), ladder(4, 2.24), "sideband"),
        "sigma_linear": lambda: sigma.Interpolated(
            FlowMatching(2, shape, 1, 1), sigma.Settings(background="linear", steps=3)
        ),
    }[name]()
    template.eval().requires_grad_(False)
    columns = {"m": "TeV", "x": "", "y": ""}
    task = Task(Path(), "m", {"x": (), "y": ()}, columns, {})
    random = np.random.default_rng(0)
    feeds = {
        name: random.uniform(0.1, 0.9, (50, port.width)).astype(np.float32)
        for name, port in ports.inputs(template, task).items()
    }
    if "anchor_low" in feeds:
        feeds["anchor_low"], feeds["anchor_high"] = 0 * feeds["anchor_low"], 1 + 0 * feeds["anchor_high"]
    model = graph.from_module(template, {key: values[:7] for key, values in feeds.items()}, ["features"])
    assert [node.op_type for node in model.graph.node].count("Scan") == 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, feeds)
    (expected,) = ports.run(template, {key: torch.from_numpy(values) for key, values in feeds.items()})
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


class Sum(nn.Module):
    """All that a likelihood of hundreds of features does in the end."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return summed(torch.eye(504) @ features.T)[:, None]  # a product, as in a flow: features before events


def test_sums_over_features_do_not_round_one_after_the_other() -> None:
    features = np.random.default_rng(4).normal(1, 1, (2000, 504)).astype(np.float32)
    exact = features.sum(1, dtype=np.float64)
    found = run(graph.from_module(Sum(), {"features": features[:7]}, ["score"]), features)
    one_by_one = np.cumsum(features, 1, dtype=np.float32)[:, -1]
    assert (found - exact).std() < 0.5 * (one_by_one - exact).std()


class Latent(nn.Module):
    """An encoder whose latent is known in closed form."""

    def forward(self, features: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return features - condition


def test_trees_behind_an_encoder_are_one_graph() -> None:
    random = np.random.default_rng(5)
    features = random.normal(size=(2000, 2)).astype(np.float32)
    mass = random.integers(0, 3, (2000, 1)).astype(np.float32)
    classifier = HistGradientBoostingClassifier(max_iter=5).fit(features - mass, (features - mass)[:, 0] > 0)
    trees = TreeEnsemble.from_sklearn(classifier)
    feeds = {"features": features, "condition": mass}
    encoder = graph.from_module(Latent(), {name: values[:7] for name, values in feeds.items()}, ["latent"])
    model = graph.behind(encoder, graph.from_trees(trees))
    check_graph(model, Path("score.onnx"))
    assert [value.name for value in model.graph.input] == ["features", "condition"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["score"], feeds)
    np.testing.assert_allclose(found[:, 0], trees.predict(features - mass), atol=1e-6)

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from sideband.infer.errors import BadInput, GateFailed
from sideband.train.classifiers.mlp import StackedMLP
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.classifiers.step import train_classifier
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.files import Damaged
from sideband.train.fit import Training
from sideband.train.run import derived_seed
from tests.train.conftest import NewRun

TREES = ClassifierSettings(members=3, iterations=15, bins=31)
MLPS = ClassifierSettings(
    kind="mlp", members=3, hidden=16, layers=2, training=Training(60, 256, 5e-3, interval=15, validation=0.3, ema=0.9)
)

Array = NDArray[np.float32]


def sample(number: int, shift: float = 0.0, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    return (random.normal(size=(number, 3)) + np.array([shift, 0, 0])).astype(np.float32)


def predict(model: TreeEnsemble | StackedMLP, events: Array) -> NDArray[np.floating]:
    if isinstance(model, TreeEnsemble):
        return model.predict(events)
    with torch.no_grad():
        return model(torch.from_numpy(events))[:, 0].numpy()


def sklearn_odds(settings: ClassifierSettings, member: int, positive: Array, negative: Array) -> tuple[float, object]:
    label = np.repeat([1, 0], [len(positive), len(negative)])
    one = HistGradientBoostingClassifier(
        max_iter=settings.iterations,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.leaves,
        max_bins=settings.bins,
        early_stopping=True,
        validation_fraction=settings.validation,
        n_iter_no_change=settings.patience,
        random_state=derived_seed(1, "test", member) % 2**32,
    )
    return np.log(len(negative) / len(positive)), one.fit(np.concatenate([positive, negative]), label)


def test_probabilities_of_trees_are_those_of_sklearn_with_equal_priors(new_run: NewRun) -> None:
    positive, negative = sample(500, 1.0), sample(2000, seed=1)
    trees = train_classifier("test", positive, negative, None, TREES, new_run())
    assert isinstance(trees, TreeEnsemble)
    events = np.concatenate([sample(300, 0.5, 2), positive, 50 * sample(50)])
    members = []
    for member in range(3):
        prior, classifier = sklearn_odds(TREES, member, positive, negative)
        odds = classifier.decision_function(events) + prior
        members.append(1 / (1 + np.exp(-odds)))
        own = TreeEnsemble.from_sklearn(classifier)
        np.testing.assert_allclose(own.predict(events), classifier.predict_proba(events)[:, 1], atol=1e-12)
        # Exactly on a split an event goes left, as in sklearn.
        edges = np.repeat(own.threshold[own.left >= 0][:50, None], 3, axis=1)
        np.testing.assert_allclose(own.predict(edges), classifier.predict_proba(edges)[:, 1], atol=1e-12)
    np.testing.assert_allclose(trees.predict(events), np.mean(members, axis=0), atol=1e-12)


def test_trees_on_disk_are_the_same(new_run: NewRun, tmp_path: Path) -> None:
    trees = train_classifier("test", sample(200, 1.0), sample(300), None, TREES, new_run())
    trees.save(tmp_path / "trees.npz")
    found = TreeEnsemble.load(tmp_path / "trees.npz")
    for name, value in vars(trees).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_a_member_that_is_done_is_not_trained_again(new_run: NewRun) -> None:
    """After a kill only the missing members are trained, and the ensemble is the unbroken one."""
    positive, negative = sample(300, 1.0), sample(300, seed=1)
    whole = train_classifier("test", positive, negative, None, TREES, new_run("whole"))
    run = new_run("broken")
    train_classifier("test", positive, negative, None, TREES, run)
    (run.checkpoints / "test-1.npz").unlink()
    kept = (run.checkpoints / "test-0.npz").stat().st_mtime_ns
    again = train_classifier("test", positive, negative, None, TREES, run)
    np.testing.assert_array_equal(again.value, whole.value)
    assert (run.checkpoints / "test-0.npz").stat().st_mtime_ns == kept


@pytest.mark.parametrize("settings", [TREES, MLPS], ids=["trees", "mlp"])
def test_classes_of_unequal_size_count_alike(settings: ClassifierSettings, new_run: NewRun) -> None:
    model = train_classifier("test", sample(300), sample(3000, seed=1), None, settings, new_run())
    events = sample(2000, seed=2)
    assert predict(model, events).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("settings", [TREES, MLPS], ids=["trees", "mlp"])
def test_weights_of_the_template_change_its_density(settings: ClassifierSettings, new_run: NewRun) -> None:
    """Template events reweighted into the data's shape cannot be told from the data."""
    positive, negative = sample(3000, 1.0), sample(3000, seed=1)
    weight = np.exp(negative[:, 0] - 0.5)  # the ratio of the two Gaussians

    def slope(weight: Array | None, name: str) -> float:
        model = train_classifier("test", positive, negative, weight, settings, new_run(name))
        events = np.zeros((2, 3), dtype=np.float32)
        events[:, 0] = -0.5, 1.5
        low, high = predict(model, events)
        return float(high - low)

    assert slope(None, "plain") > 0.3
    assert abs(slope(weight, "weighted")) < 0.15


def test_stacked_mlps_equal_separate_ones(new_run: NewRun) -> None:
    model = train_classifier("test", sample(400, 1.0), sample(400), None, MLPS, new_run()).double()
    assert isinstance(model, StackedMLP)
    events = torch.from_numpy(sample(50, 0.5, 3)).double()
    x = (events - model.mean.T) / model.scale.T
    probabilities = []
    for member in range(MLPS.members):
        layers: list[nn.Module] = []
        sizes = [3, *[MLPS.hidden] * MLPS.layers, 1]
        for stacked, (inputs, outputs) in zip([*model.hidden, model.last], pairwise(sizes), strict=True):
            linear = nn.Linear(inputs, outputs).double()
            linear.load_state_dict({"weight": stacked.weight[member], "bias": stacked.bias[member, :, 0]})
            layers += [linear, nn.ReLU()]
        probabilities.append(torch.sigmoid(nn.Sequential(*layers[:-1])(x)))
    assert torch.stack(probabilities).std(0).max() > 1e-4
    inside = ((events >= model.low.T) & (events <= model.high.T)).all(1)
    expected = torch.stack(probabilities).mean(0)
    torch.testing.assert_close(model(events)[inside], expected[inside], atol=1e-12, rtol=0)


def test_mlps_clamp_events_beyond_those_they_were_trained_on(new_run: NewRun) -> None:
    model = train_classifier("test", sample(400, 1.0), sample(400), None, MLPS, new_run())
    beyond = torch.tensor([[1e20, 0.0, -1e20]])
    edge = torch.cat([model.high[:1], torch.zeros(1, 1), model.low[2:]]).T
    torch.testing.assert_close(model(beyond), model(edge))


@pytest.mark.parametrize("settings", [TREES, MLPS], ids=["trees", "mlp"])
def test_an_ensemble_tells_what_differs(settings: ClassifierSettings, new_run: NewRun) -> None:
    model = train_classifier("test", sample(2000, 2.0), sample(2000, seed=1), None, settings, new_run())
    events = np.concatenate([sample(1000, 2.0, 5), sample(1000, seed=6)])
    found = predict(model, events)
    # The best possible cut between Gaussians two widths apart is right for 84 % of them.
    right = ((found > 0.5) == np.repeat([True, False], 1000)).mean()
    assert 0.82 < right < 0.87


# Trees that are none


def two_trees() -> dict[str, Any]:
    """Two trees of one member: a root with two leaves, and a root with a leaf and a branch."""
    return {
        "member": np.zeros(8, np.int64),
        "tree": np.array([0, 0, 0, 1, 1, 1, 1, 1]),
        "feature": np.array([1, 0, 0, 0, 0, 1, 0, 0]),
        "threshold": np.array([0.5, 0, 0, 0.1, 0, 0.2, 0, 0]),
        "left": np.array([1, -1, -1, 1, -1, 3, -1, -1]),
        "right": np.array([2, -1, -1, 2, -1, 4, -1, -1]),
        "value": np.array([0, 1.0, -1.0, 0, 0.5, 0, 0.2, 0.3]),
        "baseline": np.zeros(1),
        "features": np.array(2),
    }


def test_whole_trees_are_taken(tmp_path: Path) -> None:
    trees = TreeEnsemble.from_arrays(two_trees())
    assert trees.wrong() == ""
    odds = np.array([1.0 + 0.5, -1.0 + 0.3])
    found = trees.predict(np.array([[0.0, 0.0], [1.0, 1.0]], np.float32))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-odds)))


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("left", 0, 0, "branches"),  # itself: predicting would never end
        ("left", 5, 0, "branches"),
        ("left", 5, 4, "branches"),  # one leaf twice, another never
        ("left", 0, 7, "branches"),
        ("right", 0, 4, "branches"),  # into the next tree
        ("right", 5, 2**40, "branches"),
        ("left", 0, -2, "branches"),
        ("left", 1, -2, "leaves"),
        ("right", 1, 2, "leaves"),
        ("tree", 0, 5, "tree by tree"),
        ("tree", 4, 0, "tree by tree"),
        ("tree", 7, 3, "tree by tree"),
        ("member", 3, 1, "no member"),
        ("member", 7, 1, "no member"),
        ("member", slice(3, 8), -1, "no member"),
        ("feature", 0, 2, "features that there are not"),
        ("feature", 0, -1, "features that there are not"),
        ("value", 1, np.inf, "not finite"),
        ("threshold", 0, np.nan, "not finite"),
        ("baseline", 0, np.nan, "not finite"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name: str, place: int | slice, value: float, words: str) -> None:
    arrays = two_trees()
    arrays[name][place] = value
    with pytest.raises(Damaged, match=words):
        TreeEnsemble.from_arrays(arrays)


def test_arrays_of_other_kinds_are_refused() -> None:
    for name in two_trees():
        arrays = two_trees()
        for changes in (
            {name: arrays[name].astype(np.float32)},
            {name: arrays[name][None]},
            {name: arrays[name][:-1] if arrays[name].ndim else np.array(-1)},
            {"odd": arrays[name]},
        ):
            with pytest.raises(Damaged):
                TreeEnsemble.from_arrays(arrays | changes)
        with pytest.raises(Damaged, match=f"'{name}' is missing"):
            TreeEnsemble.from_arrays({key: value for key, value in arrays.items() if key != name})


def test_a_damaged_member_is_trained_again(new_run: NewRun, capsys: pytest.CaptureFixture[str]) -> None:
    positive, negative = sample(300, 1.0), sample(300, seed=1)
    run = new_run()
    whole = train_classifier("test", positive, negative, None, TREES, run)
    path = run.checkpoints / "test-1.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    capsys.readouterr()
    again = train_classifier("test", positive, negative, None, TREES, run)
    np.testing.assert_array_equal(again.value, whole.value)
    (line,) = capsys.readouterr().out.splitlines()
    assert "test-1.npz is damaged" in line


def test_trees_whose_values_are_not_finite_fail(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    made = TreeEnsemble.from_sklearn

    def spoilt(classifier: object, shift: float, trees: int | None) -> TreeEnsemble:
        return made(classifier, np.inf)

    monkeypatch.setattr(TreeEnsemble, "from_sklearn", spoilt)
    run = new_run()
    with pytest.raises(GateFailed, match=r"test: .*not finite; lower the learning rate"):
        train_classifier("test", sample(200, 1.0), sample(200), None, TREES, run)
    assert not run.checkpoints.exists()


@pytest.mark.parametrize("settings", [TREES, MLPS], ids=["trees", "mlp"])
@pytest.mark.parametrize("few", [0, 1])
def test_too_few_events_are_refused(settings: ClassifierSettings, few: int, new_run: NewRun) -> None:
    for sides in ((sample(few), sample(300)), (sample(300), sample(few))):
        with pytest.raises(BadInput, match=f"test: {few} events of one class are too few"):
            train_classifier("test", *sides, None, settings, new_run())


def test_a_share_held_out_that_holds_nothing_is_refused(new_run: NewRun) -> None:
    for share in (1e-4, 1 - 1e-4):
        with pytest.raises(BadInput, match="change the classifier's validation"):
            train_classifier("test", sample(300), sample(300), None, replace(TREES, validation=share), new_run())

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from tests.train.conftest import NewRun
from train.classifier import ClassifierSettings, StackedMLP, train_classifier
from train.fit import Training
from train.run import derived_seed
from train.trees import TreeEnsemble

TREES = ClassifierSettings(members=3, iterations=15, bins=31)
MLPS = ClassifierSettings(
    kind="mlp", members=3, hidden=16, layers=2, training=Training(4, 256, 5e-3, validation=0.3, patience=5, ema=0.9)
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

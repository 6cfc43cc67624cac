"""Classifiers of one kind merged into one, whose score is the mean of theirs, each calibrated on its own template."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sideband.infer.errors import BadInput
from sideband.train.classifiers.mlp import StackedMLP
from sideband.train.classifiers.settings import Array, ClassifierSettings
from sideband.train.classifiers.step import Classifier
from sideband.train.classifiers.trees import TreeEnsemble

MOST = 1 - 1e-6  # of a score, where f / (1 - f) is computed
WIDEST, HALVINGS = 30.0, 60  # of the search for a shift
ROWS = 20_000  # events at once, for bounded memory


def settings_of(classifier: Classifier, settings: ClassifierSettings) -> ClassifierSettings:
    """The settings, with kind and size of a classifier that is there already."""
    if isinstance(classifier, TreeEnsemble):
        return replace(settings, kind="trees", members=len(classifier.baseline))
    members, hidden, _ = _first(classifier).shape
    return replace(settings, kind="mlp", members=members, hidden=hidden, layers=len(classifier.hidden))


def log_odds(classifier: Classifier, features: Array) -> NDArray[np.float64]:
    """Each member's log-odds `[members, N]` of features `[N, d]`."""
    if isinstance(classifier, TreeEnsemble):
        return classifier.log_odds(features)
    device = classifier.mean.device
    with torch.no_grad():
        parts = [
            classifier.log_odds(torch.from_numpy(features[start : start + ROWS]).to(device)).cpu().double()
            for start in range(0, len(features), ROWS)
        ]
    return torch.cat(parts, 1).numpy()


def shift(classifier: Classifier, template: Array, weight: Array | None = None) -> float:
    """What to add to every member's log-odds, so that the mean of f / (1 - f) over the template is 1.

    A ratio of two densities has that mean on events of the lower one, whatever the upper one is.

    Args:
        classifier: data against template.
        template: features `[N, d]`.
        weight: weights `[N]`, all one where None.
    """
    odds = log_odds(classifier, template)
    low, high = -WIDEST, WIDEST
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        f = np.minimum((1 / (1 + np.exp(-(odds + middle)))).mean(0), MOST)
        if np.average(f / (1 - f), weights=weight) > 1:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


def merged(classifiers: Sequence[Classifier], shifts: Sequence[float]) -> Classifier:
    """One classifier of all members of several, the log-odds of each shifted.

    Raises:
        BadInput: the classifiers are of different kinds, or networks of different sizes.
    """
    trees = [each for each in classifiers if isinstance(each, TreeEnsemble)]
    networks = [each for each in classifiers if isinstance(each, StackedMLP)]
    if trees and networks:
        raise BadInput("combined: the classifiers are of different kinds; name methods whose classifier is the same")
    if trees:
        moved = [replace(each, baseline=each.baseline + by) for each, by in zip(trees, shifts, strict=True)]
        return TreeEnsemble.merge(moved)
    return _stacked(networks, shifts)


def _stacked(networks: Sequence[StackedMLP], shifts: Sequence[float]) -> StackedMLP:
    """One stack of all members; its features are scaled as those of the first, and clamped where all of them are."""
    first = networks[0]
    sizes = [len(_first(each)) for each in networks]
    _, hidden, features = _first(first).shape
    if any(settings_of(each, ClassifierSettings()).hidden != hidden for each in networks):
        raise BadInput("combined: the networks are of different sizes; name methods whose classifier is the same")
    settings = ClassifierSettings(kind="mlp", members=sum(sizes), hidden=hidden, layers=len(first.hidden))
    result = StackedMLP(features, settings)
    moved = [_moved(each, first, by) for each, by in zip(networks, shifts, strict=True)]
    state: dict[str, Tensor] = {name: torch.cat([each[name] for each in moved]) for name in moved[0]}
    state |= {"mean": first.mean, "scale": first.scale}
    state |= {"low": torch.stack([each.low for each in networks]).amin(0)}
    state |= {"high": torch.stack([each.high for each in networks]).amax(0)}
    result.load_state_dict(state)
    return result.eval().requires_grad_(False)


def _first(network: StackedMLP) -> Tensor:
    """The weights of the first layer `[members, hidden, features]`."""
    return network.state_dict()["hidden.0.weight"]


def _moved(network: StackedMLP, to: StackedMLP, by: float) -> dict[str, Tensor]:
    """The weights of a stack for features that are scaled as those of another one, its log-odds shifted."""
    state = {name: value.clone() for name, value in network.state_dict().items() if "." in name}
    weight = state["hidden.0.weight"].double()
    offset = (to.mean.double() - network.mean.double()) / network.scale.double()
    state["hidden.0.bias"] = (state["hidden.0.bias"].double() + weight @ offset).float()
    state["hidden.0.weight"] = (weight * (to.scale.double() / network.scale.double()).T).float()
    state["last.bias"] = state["last.bias"] + by
    return state

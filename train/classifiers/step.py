"""The one classifier step: an ensemble that tells signal-region data from a template, as trees or as stacked MLPs.

Trees are scikit-learn's histogram gradient boosting as in "Back to the Roots" (arXiv:2309.13111); members differ by
their seed, that is by their validation half, and their probabilities are averaged. MLPs are trained all in one go, for
GPUs.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional

from sideband.infer.errors import BadInput, GateFailed
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.fit import Batch, Player, Training, fit
from sideband.train.nets.flow import StackedLinear
from sideband.train.run import Run, derived_seed
from sideband.train.settings import Count, Depth, Members, Range, Rate, Width

Array = NDArray[np.float32]
Label = NDArray[np.int8]
Weight = NDArray[np.float64]


@dataclass(frozen=True)
class ClassifierSettings:
    """The classifier of a suite; defaults as in arXiv:2309.13111."""

    kind: Literal["trees", "mlp"] = "trees"
    members: Members = 50
    # trees
    iterations: Annotated[int, Range(1, 10_000)] = 200
    learning_rate: Rate = 0.1
    leaves: Annotated[int, Range(2, 10_000)] = 31
    bins: Annotated[int, Range(2, 255)] = 255
    validation: Annotated[float, Range(0, 1, above=True, below=True)] = 0.5  # share held out for early stopping
    patience: Count = 10
    # mlp
    hidden: Width = 64
    layers: Depth = 3
    training: Training = field(default_factory=lambda: Training(100, 512, 1e-3, validation=0.5, patience=10, ema=0.99))


class StackedMLP(nn.Module):
    """An ensemble of classifiers in one module: features `[N, d]` in physical units → mean probability `[N, 1]`.

    Args:
        features: number of features d.
        settings: width, depth and number of members.
    """

    def __init__(self, features: int, settings: ClassifierSettings) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.low: Tensor
        self.high: Tensor
        for name in ("mean", "scale", "low", "high"):
            self.register_buffer(name, torch.zeros(features, 1))
        sizes = [features, *[settings.hidden] * settings.layers]
        layers = [StackedLinear(settings.members, i, o) for i, o in pairwise(sizes)]
        self.hidden = nn.ModuleList(layers)
        self.last = StackedLinear(settings.members, settings.hidden, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Each member's logit `[members, N]` of standardised features `[members or 1, d, N]`."""
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.last(x)[:, 0]

    def forward(self, features: Tensor) -> Tensor:
        """The score; features beyond those it was trained on are clamped."""
        x = (torch.minimum(torch.maximum(features.T, self.low), self.high) - self.mean) / self.scale
        probabilities = torch.sigmoid(self.logits(x[None]))
        # Not by mean: torch's exporter would give its result the name of the buffer.
        return (probabilities.sum(0) / len(probabilities))[:, None]


def train_classifier(
    name: str, positive: Array, negative: Array, negative_weight: Array | None, settings: ClassifierSettings, run: Run
) -> TreeEnsemble | StackedMLP:
    """Train the ensemble; its probabilities are those of classes as large as each other.

    Args:
        name: what it is called within the run.
        positive, negative: features `[N, d]` of data and of template, in physical units.
        negative_weight: weights `[N]` of the template's events, all one where None.
        settings: kind and size.
        run: seed, device, checkpoints.
    """
    _check_enough(name, min(len(positive), len(negative)), settings)
    features = np.concatenate([positive, negative])
    label = np.repeat([1, 0], [len(positive), len(negative)]).astype(np.int8)
    weight = None
    if negative_weight is not None:
        weight = np.concatenate([np.ones(len(positive)), negative_weight * (len(negative) / negative_weight.sum())])
    train = _trees if settings.kind == "trees" else _mlps
    return train(name, features, label, weight, settings, run)


def _check_enough(name: str, fewest: int, settings: ClassifierSettings) -> None:
    """Refuse what cannot be divided into events to train on and events held out, some of each class in both."""
    held_out = settings.validation if settings.kind == "trees" else settings.training.validation
    if fewest * min(held_out or 1.0, 1 - held_out) < 1:
        raise BadInput(
            f"{name}: {fewest} events of one class are too few to train on {1 - held_out:g} of them; "
            "give more data, or change the classifier's validation"
        )


def _trees(
    name: str, features: Array, label: Label, weight: Weight | None, settings: ClassifierSettings, run: Run
) -> TreeEnsemble:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Balanced by shifting the log-odds afterwards, not by weights: weighted fits take three times as long in
    # scikit-learn 1.9, and came out no more sensitive on these events.
    shift = float(np.log((label == 0).sum() / (label == 1).sum()))
    members = []
    for member in range(settings.members):
        checkpoint = f"{name}-{member}.npz"
        done = run.unfinished(checkpoint, TreeEnsemble.load)
        if done is not None:
            members.append(done)
            continue
        classifier = HistGradientBoostingClassifier(
            max_iter=settings.iterations,
            learning_rate=settings.learning_rate,
            max_leaf_nodes=settings.leaves,
            max_bins=settings.bins,
            early_stopping=True,
            validation_fraction=settings.validation,
            n_iter_no_change=settings.patience,
            random_state=derived_seed(run.seed, name, member) % 2**32,
        )
        with threadpool_limits(torch.get_num_threads()):
            classifier.fit(features, label, sample_weight=weight)
        trees = TreeEnsemble.from_sklearn(classifier, shift)
        if trees.wrong():
            raise GateFailed(f"{name}: the trees' {trees.wrong()}; lower the learning rate, or look for odd features")
        with run.checkpoint(checkpoint) as temporary:
            trees.save(temporary)
        members.append(trees)
        run.progress(name, member + 1, settings.members)
    return TreeEnsemble.merge(members)


def _mlps(
    name: str, features: Array, label: Label, weight: Weight | None, settings: ClassifierSettings, run: Run
) -> StackedMLP:
    run.seeded(name)
    model = StackedMLP(features.shape[1], settings)
    values = features.astype(np.float64)
    scale = np.maximum(values.std(0), 1e-12)
    for buffer, value in (
        (model.mean, values.mean(0)),
        (model.scale, scale),
        (model.low, values.min(0)),
        (model.high, values.max(0)),
    ):
        buffer.copy_(torch.from_numpy(value)[:, None])
    model.to(run.device)
    x = ((torch.from_numpy(features).to(run.device).T - model.mean) / model.scale).T.contiguous()
    y = torch.from_numpy(label.astype(np.float32)).to(run.device)
    balance = np.where(label == 1, 0.5 / (label == 1).mean(), 0.5 / (label == 0).mean())
    w = torch.from_numpy((balance if weight is None else balance * weight).astype(np.float32)).to(run.device)

    def loss(model: StackedMLP, batch: Batch) -> Tensor:
        features, label, weight = batch.rows
        logits = model.logits(features.transpose(1, 2))
        return functional.binary_cross_entropy_with_logits(logits, label, weight, reduction="none").mean(1)

    player = Player(list(model.parameters()), loss)
    fit(name, model, [player], [x, y, w], settings.training, run, settings.members)
    return model

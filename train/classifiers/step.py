"""The classifier step, the same for every method: an ensemble that separates signal-region data from a template."""

import numpy as np
from torch import Tensor, nn

from sideband.infer.errors import BadInput
from sideband.infer.meaning import PROBABILITY
from sideband.train.classifiers.boosting import fit_trees
from sideband.train.classifiers.mlp import StackedMLP, fit_mlps
from sideband.train.classifiers.settings import Array, ClassifierSettings, Weight
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.run import Run

Classifier = TreeEnsemble | StackedMLP


class Encoded(nn.Module):
    """A classifier behind an encoder: features `[N, d]` and mass `[N, 1]` → score `[N, 1]`.

    Args:
        encoder: features and mass → latent `[N, k]`.
        classifier: latent → score `[N, 1]`.
    """

    meaning = PROBABILITY

    def __init__(self, encoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.encoder, self.classifier = encoder, classifier

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """The score of the encoded events."""
        return self.classifier(self.encoder(features, condition))


def train_classifier(
    name: str,
    positive: Array,
    negative: Array,
    negative_weight: Array | Weight | None,
    settings: ClassifierSettings,
    run: Run,
) -> Classifier:
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
    train = fit_trees if settings.kind == "trees" else fit_mlps
    return train(name, features, label, weight, settings, run)


def _check_enough(name: str, fewest: int, settings: ClassifierSettings) -> None:
    """Refuse samples so small that the training part or the validation part would lack a class."""
    held_out = settings.validation if settings.kind == "trees" else settings.training.validation
    if fewest * min(held_out or 1.0, 1 - held_out) < 1:
        raise BadInput(
            f"{name}: {fewest} events of one class are too few to train on {1 - held_out:g} of them; "
            "give more data, or change the classifier's validation"
        )

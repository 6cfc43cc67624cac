"""The supervised classifier of showers as a score: what is to be had by whoever knows one mass of the signal.

As in arXiv:2312.11618, trained on one mass and tested on all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower_classifier import ShowerClassifier
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """None of its own: the classifier is the shared fit."""


class Score(nn.Module):
    """The classifier's logit `[N, 1]` of voxels `[N, 504]` in MeV; a probability would be 1 for many of them."""

    def __init__(self, classifier: ShowerClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, features: Tensor) -> Tensor:
        """The score."""
        return self.classifier(features)[:, None]


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score."""
    (shape,) = needs.values()
    return {"score": Score(ShowerClassifier(shape.network))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit."""
    (shared,) = needs.values()
    classifier = shared.modules["classifier"]
    assert isinstance(classifier, ShowerClassifier)
    return Fitted({"score": Score(classifier)})

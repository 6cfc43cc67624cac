"""The supervised classifier of showers as a score: the reach of a search that knows one mass of the signal.

As in arXiv:2312.11618, it is trained on one mass and tested on all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.meaning import Meaning
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower_classifier import ShowerClassifier
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """There are none: the classifier is a shared fit."""


class Score(nn.Module):
    """The classifier's logit `[N, 1]` for voxels `[N, 504]` in MeV; as a probability, many would round to 1."""

    meaning = Meaning("a classifier's logit, not a probability")

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
    """Take the shared classifier; there is nothing left to fit."""
    (shared,) = needs.values()
    classifier = shared.modules["classifier"]
    assert isinstance(classifier, ShowerClassifier)
    return Fitted({"score": Score(classifier)})

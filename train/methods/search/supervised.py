"""The fully supervised classifier: true signal against true background, the ceiling of every anomaly score."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.train.methods import Contrast, Fitted, Needed
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """None of its own."""


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """No module: the classifier is all there is."""
    return {}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Reference signal in the window against reference background there, whatever was injected into the data."""
    reference = task.events("reference")
    return Fitted(contrast=Contrast(reference.features[reference.label == 1], reference.features[reference.label == 0]))

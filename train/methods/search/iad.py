"""The idealised detector: signal-region data against true background, what a perfect template would give."""

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
    """Data in the window against the reference background there."""
    data, reference = task.events("data"), task.events("reference")
    return Fitted(contrast=Contrast(data.features[task.inside(data)], reference.features[reference.label == 0]))

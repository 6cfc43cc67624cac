"""CWoLa: the sidebands themselves as the template, the floor that every background model should rise above.

J. Collins, K. Howe, B. Nachman, "Anomaly Detection for Resonant New Physics with Machine Learning", arXiv:1805.02664.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.infer.errors import BadInput
from sideband.train.methods import Contrast, Fitted, Needed
from sideband.train.run import Run
from sideband.train.settings import Positive


@dataclass(frozen=True)
class Settings:
    """Width of each sideband strip, in widths of the window: 200 GeV beside 400 GeV, as in arXiv:2109.00546."""

    strip: Positive = 0.5


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """No module: the classifier is all there is."""
    return {}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """The window against the strips beside it, each strip with the same total weight."""
    data = task.events("data")
    low, high = task.window
    width = settings.strip * (high - low)
    strips = [
        (data.mass <= np.float32(low)) & (data.mass > low - width),
        (data.mass >= np.float32(high)) & (data.mass < high + width),
    ]
    if not all(strip.any() for strip in strips):
        raise BadInput(f"methods.cwola.strip: no events within {width:g} of the window {list(task.window)}; widen it")
    negative = np.concatenate([data.features[strip] for strip in strips])
    weight = np.concatenate([np.full(strip.sum(), 1 / strip.sum(), np.float32) for strip in strips])
    numbers = {"sidebands": [low - width, low, high, high + width]}
    return Fitted(contrast=Contrast(data.features[task.inside(data)], negative, weight), numbers=numbers)

"""CWoLa: the sidebands themselves as the template, the floor that every background model should rise above.

J. Collins, K. Howe, B. Nachman, "Anomaly Detection for Resonant New Physics with Machine Learning", arXiv:1805.02664.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.errors import BadInput
from sideband.infer.inputs import Rows
from sideband.train.methods import ROWS, Fitted, Needed
from sideband.train.run import Run
from sideband.train.settings import Positive


@dataclass(frozen=True)
class Settings:
    """Width of each sideband strip, in widths of the window: 200 GeV beside 400 GeV, as in arXiv:2109.00546."""

    strip: Positive = 0.5


class Strips(nn.Module):
    """Events of both strips `[N, d]` with masses `[N, 1]` → the same features, and weights `[N, 1]`.

    They count as events at masses `condition` `[N, 1]` of the window, and each strip has the same total weight.
    """

    def __init__(self) -> None:
        super().__init__()
        strips, carried = (Rows(name, order="turn", file=ROWS) for name in ("strips", "carried"))
        self.drawn = {"condition": carried, "source": strips, "source_condition": strips}
        self.edge: Tensor
        self.weights: Tensor
        self.register_buffer("edge", torch.zeros(1))  # of the window, its lower one
        self.register_buffer("weights", torch.ones(2))  # of an event in the lower strip, and in the upper one

    def forward(self, condition: Tensor, source: Tensor, source_condition: Tensor) -> tuple[Tensor, Tensor]:
        """The events, each with the weight of its strip."""
        return source.clone(), torch.where(source_condition <= self.edge, self.weights[0], self.weights[1])


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template, which has two weights and nothing to train."""
    return {"template": Strips()}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Take the strips beside the window, each event once, and carry them to the masses of the window's data in turn."""
    data = task.events("data")
    low, high = task.window
    width = settings.strip * (high - low)
    inside = task.inside(data)
    strips = data[~inside & (data.mass > low - width) & (data.mass < high + width)]  # any part of it is a fair sample
    numbers = [int(side.sum()) for side in (strips.mass <= np.float32(low), strips.mass >= np.float32(high))]
    if not all(numbers):
        raise BadInput(f"methods.cwola.strip: no events within {width:g} of the window {list(task.window)}; widen it")
    template = Strips()
    template.edge.fill_(low)
    template.weights.copy_(len(strips) / (2 * torch.tensor(numbers)))
    rows = {"strips": strips, "carried": replace(strips, mass=np.resize(data.mass[inside], len(strips)))}
    return Fitted({"template": template}, rows=rows, numbers={"sidebands": [low - width, low, high, high + width]})

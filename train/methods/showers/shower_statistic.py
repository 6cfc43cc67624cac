"""A statistic of a shower that anyone can compute: hit voxels, or how much energy the first or the last layer holds.

The floor for the likelihood of arXiv:2312.11618: decays deep in the calorimeter leave nothing in the first layer, and
two photons light up more voxels than one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.simulate.showers.geometry import STARTS, THRESHOLD
from sideband.train.methods import Fitted, Needed
from sideband.train.run import Run

Kind = Literal["hits", "first layer", "last layer"]


@dataclass(frozen=True)
class Settings:
    """Which statistic."""

    statistic: Kind = "hits"


class Score(nn.Module):
    """The statistic `[N, 1]` of voxels `[N, 504]` in MeV: hits, minus the first layer's share, or the last one's."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, features: Tensor) -> Tensor:
        """The score."""
        if self.kind == "hits":
            return (features >= THRESHOLD).to(features.dtype).sum(1, keepdim=True)
        total = features.sum(1, keepdim=True).clamp_min(THRESHOLD)
        if self.kind == "first layer":
            return -features[:, : STARTS[1]].sum(1, keepdim=True) / total
        return features[:, STARTS[2] :].sum(1, keepdim=True) / total


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score."""
    return {"score": Score(settings.statistic)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """There is nothing to fit."""
    return Fitted({"score": Score(settings.statistic)})

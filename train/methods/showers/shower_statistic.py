"""A simple statistic of a shower: the number of hit voxels, or the share of energy in the first or last layer.

A baseline for the likelihood of arXiv:2312.11618. Decays deep in the calorimeter leave nothing in the first layer, and
two photons hit more voxels than one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.simulate.showers.geometry import STARTS, THRESHOLD
from sideband.infer.meaning import Meaning
from sideband.train.methods import Fitted, Needed
from sideband.train.run import Run

Kind = Literal["hits", "first layer", "last layer"]
MEANINGS: dict[Kind, Meaning] = {
    "hits": Meaning("number of hit voxels, not a probability", 0.0),
    "first layer": Meaning("minus the first layer's share of the energy, not a probability", -1.0, 0.0),
    "last layer": Meaning("the last layer's share of the energy, not a probability", 0.0, 1.0),
}


@dataclass(frozen=True)
class Settings:
    """The choice of the statistic."""

    statistic: Kind = "hits"  # ours


class Score(nn.Module):
    """The statistic `[N, 1]` of voxels `[N, 504]` in MeV; the share of the first layer has a minus sign."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind, self.meaning = kind, MEANINGS[kind]

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
    """Build the score; there is nothing to fit."""
    return Fitted({"score": Score(settings.statistic)})

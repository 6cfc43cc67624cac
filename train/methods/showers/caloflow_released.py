"""CaloFlow's likelihood as the released code scores it (arXiv:2312.11618), with the layers in another transformation.

The authors train the flow of the layers on logits of shares, but their script for scores feeds it with logarithms of
the layer energies. This is no likelihood; it is here to see what difference it makes. Compare with `caloflow_logits`,
where the layers are scored as they were learned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.meaning import Meaning
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower import ShowerFlow
from sideband.train.nets.shower_logits import LogitLayers, log_logits
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """There are none: both parts are shared fits."""


class Score(nn.Module):
    """The released code's score `[N, 1]` of voxels `[N, 504]` in MeV."""

    meaning = Meaning("the released code's score, neither a probability nor a likelihood")

    def __init__(self, flow: ShowerFlow, layers: LogitLayers) -> None:
        super().__init__()
        self.flow, self.layers = flow, layers

    def forward(self, features: Tensor) -> Tensor:
        """Minus the flow's answer to foreign inputs, and minus log p of the voxels in logits."""
        _, voxels, energy = log_logits(self.flow, features)
        return -(self.layers.log_released(self.flow.deposited(features.T), energy) + voxels)[:, None]


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score."""
    return {"score": Score(ShowerFlow(needs["shower_flow"].flow), LogitLayers(needs["shower_layers"].flow))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Take both flows; there is nothing left to fit."""
    flow, layers = needs["shower_flow"].modules["flow"], needs["shower_layers"].modules["flow"]
    assert isinstance(flow, ShowerFlow)
    assert isinstance(layers, LogitLayers)
    return Fitted({"score": Score(flow, layers)})

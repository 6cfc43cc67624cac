"""SIGMA in one step: the interpolated model of SIGMA (arXiv:2410.20537), distilled, makes an event in one evaluation.

The distillation (arXiv:2101.02388) is ours; it is fitted once for all windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.errors import BadInput
from sideband.infer.inputs import Constant, Drawn
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.velocity import FlowMatching, shares
from sideband.train.run import Run
from sideband.train.settings import Positive


@dataclass(frozen=True)
class Settings:
    """The anchors."""

    anchor_margin: Positive = 0.25  # as in SIGMA


class OneStep(nn.Module):
    """Background events: noise `[N, d]`, mass and anchor masses `[N, 1]` → features `[N, d]`."""

    def __init__(self, flow: FlowMatching, settings: Settings) -> None:
        super().__init__()
        self.flow = flow
        self.drawn: dict[str, Drawn] = {
            "anchor_low": Constant("low", settings.anchor_margin),
            "anchor_high": Constant("high", settings.anchor_margin),
        }

    def forward(self, noise: Tensor, condition: Tensor, anchor_low: Tensor, anchor_high: Tensor) -> Tensor:
        """Carry the noise in one step, between the anchors."""
        anchors = anchor_low, anchor_high
        mixture = self.flow.between(anchors, shares(condition, *anchors))
        return self.flow.physical(self.flow.leapt(noise, mixture), mixture)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return {"template": OneStep(needs["matching_one"].flow(features), settings)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier; refuses a window whose anchors the student has not learnt."""
    shared = needs["matching_one"]
    flow = shared.modules["flow"]
    assert isinstance(flow, FlowMatching)
    low, high = (Constant(side, settings.anchor_margin).value(task.window, task.mass_range) for side in ("low", "high"))
    share = (high - low) / (task.mass_range[1] - task.mass_range[0])
    learnt = shared.settings.nearest, shared.settings.farthest
    if not learnt[0] <= share <= learnt[1]:
        raise BadInput(
            f"sigma_one: its anchors are {share:.3g} of the mass range apart, and its student learnt {learnt[0]:g} to "
            f"{learnt[1]:g}; set shared.matching_one.nearest and farthest around it"
        )
    return Fitted({"template": OneStep(flow, settings)})

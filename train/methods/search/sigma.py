"""SIGMA: one flow-matching model of all the data, interpolated in mass across each signal region.

R. Das, D. Shih et al., "SIGMA: Single Interpolated Generative Model for Anomalies", arXiv:2410.20537. The model has
seen the signal; its velocity at two anchor masses beside the window has not, and is interpolated to the masses within.
Four background models: v^int interpolated in the context's activations ("context") or in the velocity ("linear"), the
data's own model ("data"), and the model of the sidebands alone ("sidebands", the paper's v^CR).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.inputs import Constant, Drawn
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.velocity import FlowMatching, shares
from sideband.train.run import Run
from sideband.train.settings import Positive, Steps


@dataclass(frozen=True)
class Settings:
    """Which background model, its anchors, and the solver's steps."""

    background: Literal["context", "linear", "data", "sidebands"] = "context"
    anchor_margin: Positive = 0.25  # anchors lie beyond the window by this share of its width: 0.1 TeV, as in the paper
    steps: Steps = 10  # of the midpoint rule


class Interpolated(nn.Module):
    """Background events: noise `[N, d]`, mass and anchor masses `[N, 1]` → features `[N, d]`."""

    def __init__(self, flow: FlowMatching, settings: Settings) -> None:
        super().__init__()
        self.flow, self.steps, self.inside = flow, settings.steps, settings.background == "context"
        self.drawn: dict[str, Drawn] = {
            "anchor_low": Constant("low", settings.anchor_margin),
            "anchor_high": Constant("high", settings.anchor_margin),
        }

    def forward(self, noise: Tensor, condition: Tensor, anchor_low: Tensor, anchor_high: Tensor) -> Tensor:
        """Sample with the velocity mixed from those at the anchors."""
        anchors = anchor_low, anchor_high
        mixture = self.flow.between(anchors, shares(condition, *anchors), self.inside)
        return self.flow.sample(noise, mixture, self.steps)


class Direct(nn.Module):
    """Events of the model itself: noise `[N, d]` and mass `[N, 1]` → features `[N, d]`."""

    def __init__(self, flow: FlowMatching, steps: int) -> None:
        super().__init__()
        self.flow, self.steps = flow, steps

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Sample at the given masses."""
        return self.flow.sample(noise, self.flow.between([condition]), self.steps)


class Density(nn.Module):
    """The model's exact log p(features | mass) `[N, 1]`, of features `[N, d]` and mass `[N, 1]`."""

    def __init__(self, flow: FlowMatching, steps: int) -> None:
        super().__init__()
        self.flow, self.steps = flow, steps

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Follow the flow back to noise."""
        return self.flow.log_density(features, condition, self.steps)[:, None]


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template, and the density of the model behind it."""
    (shape,) = needs.values()
    return _modules(settings, FlowMatching(features, shape.net, shape.time_frequencies, shape.mass_frequencies))


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier."""
    (shared,) = needs.values()
    flow = shared.modules["flow"]
    assert isinstance(flow, FlowMatching)
    if settings.background in ("context", "linear"):
        Constant("low", settings.anchor_margin).value(task.window, task.mass_range)  # refuses a window without room
    return Fitted(_modules(settings, flow))


def _modules(settings: Settings, flow: FlowMatching) -> dict[str, nn.Module]:
    if settings.background in ("context", "linear"):
        template: nn.Module = Interpolated(flow, settings)
    else:
        template = Direct(flow, settings.steps)
    return {"template": template, "density": Density(flow, settings.steps)}

"""Refined: another method's template, with weights that a classifier learns in the sidebands.

A classifier f(features, mass) separates the sidebands' data from the method's own events at sideband masses. Where it
is optimal, f / (1 - f) is the ratio of their densities; a smooth function of the mass, it is carried into the window as
the weight of each template event. No event of the signal region is read. To reweight what a generator makes is DCTRGAN
(S. Diefenbacher et al., arXiv:2009.03796); to learn the weights beside the window is SALAD's way with simulation
(arXiv:2001.05001). That it serves any template is ours.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.draws import generator
from sideband.train import beside
from sideband.train.classifiers.mlp import StackedMLP, fit_mlps
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.fit import Training
from sideband.train.methods import ROWS, Fitted, Needed
from sideband.train.run import Run
from sideband.train.settings import Count, Depth, Members, Range, Width
from sideband.train.template import read_rows

MOST = 0.999  # of f: a weight of a thousand says that the template has no such events
NEWTON = 30  # steps of the calibration's fit


@dataclass(frozen=True)
class Settings:
    """What is refined, and the classifier; all values are ours."""

    of: tuple[str, ...] = ()  # the one entry whose template is refined
    oversampling: Count = 2  # template events for each sideband event
    members: Members = 5  # networks whose f is averaged
    hidden: Width = 64
    layers: Depth = 2
    calibration: Annotated[float, Range(0, 1, above=True, below=True)] = 0.2  # share held out of all networks
    training: Training = field(default_factory=lambda: Training(batch=1024, interval=100, validation=0.2, ema=0.99))

    def __post_init__(self) -> None:
        if len(self.of) > 1:
            raise ValueError("of: a fit refines one template; give one name, and an entry refined@NAME to each other")

    def classifier(self) -> ClassifierSettings:
        """The same as settings of a stack of MLPs."""
        return ClassifierSettings(
            kind="mlp", members=self.members, hidden=self.hidden, layers=self.layers, training=self.training
        )


class Reweighted(nn.Module):
    """Another template's events, their weights multiplied by f / (1 - f).

    Inputs are those of that template, and f is calibrated: its log-odds are multiplied by a slope, and shifted.

    Args:
        template: features `[N, d]`, with or without weights `[N, 1]`.
        network: features and mass `[N, d + 1]` → f `[N, 1]`.
    """

    def __init__(self, template: nn.Module, network: StackedMLP) -> None:
        super().__init__()
        self.template, self.network = template, network
        self.drawn = getattr(template, "drawn", {})
        if hasattr(template, "noise_columns"):
            self.noise_columns = template.noise_columns
        self.line: Tensor
        self.register_buffer("line", torch.tensor([1.0, 0.0]))

    def weighted(self, feeds: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The template's features, and weights `[N, 1]`."""
        made = self.template(**feeds)
        features, *weight = made if isinstance(made, tuple) else (made,)
        ratio = torch.exp(self.line[0] * self.log_odds(features, feeds["condition"]) + self.line[1])
        return features, ratio * weight[0] if weight else ratio

    def log_odds(self, features: Tensor, mass: Tensor) -> Tensor:
        """The network's log-odds `[N, 1]` before they are calibrated."""
        f = self.network(torch.cat([features, mass], 1)).clamp(1 - MOST, MOST)
        return torch.log(f) - torch.log1p(-f)


def reweighted(template: nn.Module, network: StackedMLP) -> Reweighted:
    """A `Reweighted` that takes its inputs by the names that its template has for them."""

    def forward(self: Reweighted, **feeds: Tensor) -> tuple[Tensor, Tensor]:
        return self.weighted(feeds)

    forward.__signature__ = inspect.signature(type(template).forward)  # type: ignore[attr-defined]
    return type("Reweighted", (Reweighted,), {"forward": forward})(template, network)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    (of,) = settings.of
    network = StackedMLP(features + 1, settings.classifier())
    return {"template": reweighted(needs[of].build(features)["template"], network)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train data against the method's own template, both beside the window; calibrate on events held out of it."""
    (base,) = needs.values()
    data, made = beside.samples(base, task, settings.oversampling, run)
    sides = [np.column_stack([each.features, each.mass]) for each in (data, made.events)]
    x, label = np.concatenate(sides), np.repeat([1, 0], [len(side) for side in sides]).astype(np.int8)
    weight = np.ones(len(x))
    if made.weight is not None:
        weight[len(data) :] = made.weight / made.weight.mean()
    held_out = generator(task.seed, "calibration", 0).random(len(x)) < settings.calibration
    network = fit_mlps("reweighting", x[~held_out], label[~held_out], weight[~held_out], settings.classifier(), run)
    module = reweighted(base.modules["template"], network)
    with torch.no_grad():
        features, mass = torch.split(torch.from_numpy(x[held_out]).to(run.device), [x.shape[1] - 1, 1], dim=1)
        odds = module.log_odds(features, mass).cpu().numpy()[:, 0].astype(np.float64)
    slope, offset = calibrated(odds, label[held_out], weight[held_out])
    module.line.copy_(torch.tensor([slope, offset]))
    numbers = {"sideband_events": len(data), "slope": slope, "offset": offset}
    return Fitted({"template": module.to(run.device)}, rows=read_rows(base.folder / ROWS, task), numbers=numbers)


def calibrated(odds: NDArray[np.float64], label: NDArray[np.int8], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset of the line in `odds` that are the log-odds of the labels, both classes as large as each other.

    A slope below 1 says that the networks saw differences that are not there; it is never below 0.

    Args:
        odds: log-odds `[N]`; label: `[N]`; weight: `[N]`.
    """
    balance = weight * np.where(label == 1, 1 / weight[label == 1].sum(), 1 / weight[label == 0].sum())
    design = np.stack([odds, np.ones_like(odds)], 1)
    line = np.array([1.0, 0.0])
    for _ in range(NEWTON):
        p = 1 / (1 + np.exp(-(design @ line)))
        hessian = (design * (balance * p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        line = line + np.linalg.solve(hessian, design.T @ (balance * (label - p)))
    return (float(line[0]), float(line[1])) if line[0] > 0 else (0.0, 0.0)

"""SALAD: simulated background, reweighted to the data by a classifier trained beside the window.

A. Andreassen, B. Nachman, D. Shih, "Simulation Assisted Likelihood-free Anomaly Detection", arXiv:2001.05001. The
classifier f(features, mass) separates data from simulation in the sidebands. Where it is optimal, f / (1 - f) is the
ratio of their densities. Inside the window, the simulation with these weights is the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.errors import BadInput
from sideband.infer.inputs import Rows
from sideband.train.classifiers.mlp import StackedMLP, fit_mlps
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.fit import Training
from sideband.train.methods import Fitted, Needed
from sideband.train.run import Run
from sideband.train.settings import Depth, Members, Width

MOST = 0.999  # of f: a weight of a thousand says that the simulation has no such events


@dataclass(frozen=True)
class Settings:
    """The network of the authors' notebook, and its batch; 20 epochs there."""

    members: Members = 1  # networks whose f is averaged
    hidden: Width = 64
    layers: Depth = 3
    training: Training = field(default_factory=lambda: Training(batch=200, validation=0.2))

    def classifier(self) -> ClassifierSettings:
        """The same as settings of a stack of MLPs."""
        return ClassifierSettings(
            kind="mlp", members=self.members, hidden=self.hidden, layers=self.layers, training=self.training
        )


class Template(nn.Module):
    """Simulated events of the window: features `[N, d]` and mass `[N, 1]` → the same features, and weights `[N, 1]`."""

    def __init__(self, network: StackedMLP) -> None:
        super().__init__()
        self.network = network
        rows = Rows("simulation", "signal region", "turn")
        self.drawn = {"condition": rows, "source": rows}

    def forward(self, condition: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """The events, each with the weight that makes the simulation like data."""
        found = self.network(torch.cat([source, condition], 1)).clamp_max(MOST)
        return source + 0.0, found / (1 - found)  # an output that is an input would have no node of its own


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return {"template": Template(StackedMLP(features + 1, settings.classifier()))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train data against simulation, both outside the window."""
    sides = []
    for group in ("data", "simulation"):
        events = task.events(group)
        events = events[~task.inside(events)]
        if len(events) < 2:
            raise BadInput(f"{task.path}: holds no {group} beside the window; SALAD needs some")
        sides.append(np.column_stack([events.features, events.mass]))
    label = np.repeat([1, 0], [len(side) for side in sides]).astype(np.int8)
    network = fit_mlps("reweighting", np.concatenate(sides), label, None, settings.classifier(), run)
    return Fitted({"template": Template(network)})

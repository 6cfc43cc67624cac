"""The background density p(features | mass), fitted to the sidebands; shared by CATHODE, LaCATHODE, ANODE and R-ANODE.

CATHODE (arXiv:2109.00546) fits an affine autoregressive flow. Ours is a coupling flow of rational-quadratic splines,
which is as fast to sample as to evaluate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Training
from sideband.train.likelihood import fit_flow, prepared
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, FlowSettings
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """The shape of the flow is R-ANODE's, its training CATHODE's."""

    flow: FlowSettings = field(default_factory=FlowSettings)  # R-ANODE's code (arXiv:2312.11629)
    # Epochs, batch and rate as in CATHODE's code. Averaged weights of the last epoch replace its ten best epochs.
    training: Training = field(
        default_factory=lambda: Training(epochs=100, batch=256, learning_rate=1e-4, patience=None)
    )


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The density."""
    return {"density": ConditionalDensity(features, settings.flow)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit the density to the data outside the window."""
    data = task.events("data")
    sidebands = data[~task.inside(data)]
    run.seeded("sideband")
    density = ConditionalDensity(len(task.features), settings.flow)
    x, mass = prepared(density, sidebands, task.mass_range, run.device)
    fit_flow("sideband", density.flow, x, mass, settings.training, run)
    return Fitted({"density": density})

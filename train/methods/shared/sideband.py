"""The background density p(features | mass), fitted to the sidebands; several methods share it.

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
    """The shape of the flow is R-ANODE's."""

    flow: FlowSettings = field(default_factory=FlowSettings)  # R-ANODE's code (arXiv:2312.11629)
    # Ours, up to convergence. CATHODE's code takes 100 epochs of batches of 256 at a rate of 1e-4, and its ten best
    # epochs; we take averaged weights of the best look.
    training: Training = field(
        default_factory=lambda: Training(
            batch=2048, learning_rate=5e-3, interval=100, patience=3, weight_decay=0.1, ema=0.99
        )
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

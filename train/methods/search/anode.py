"""ANODE: the ratio of the data's density in the signal region to the background's, interpolated from the sidebands.

B. Nachman, D. Shih, "Anomaly Detection with Density Estimation", arXiv:2001.04990.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Training
from sideband.train.likelihood import fit_flow, noise_of, preprocessed
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, DensityRatio, Flow, FlowSettings, identity
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """The signal-region flow and its training."""

    flow: FlowSettings = field(default_factory=FlowSettings)
    # Ours, up to convergence. The R-ANODE authors' version of ANODE takes batches of 256 and holds half of them out.
    training: Training = field(
        default_factory=lambda: Training(batch=512, interval=50, validation=0.2, ema=0.99, weight_decay=0.1)
    )


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score log p_data(x|m) - log p_background(x|m)."""
    background = ConditionalDensity(features, needs["sideband"].flow)
    return {"score": DensityRatio(background, Flow(features, 1, settings.flow))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit the density of the data in the window, in the noise of the sideband density."""
    background = needs["sideband"].modules["density"]
    assert isinstance(background, ConditionalDensity)
    data = task.events("data")
    x, mass = preprocessed(background, data[task.inside(data)], run.device)
    run.seeded("signal region")
    flow = identity(Flow(len(task.features), 1, settings.flow))
    fit_flow("signal region", flow, noise_of(background, x, mass), mass, settings.training, run)
    return Fitted({"score": DensityRatio(background, flow)})

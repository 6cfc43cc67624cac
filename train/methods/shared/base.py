"""A density p(features | mass) over the whole mass range, fitted once for all windows: a base that transports end on.

Of all the data, it is the base flow of CURTAINsF4F's efficient configuration (arXiv:2305.04646); of simulated
background, that of FETA (arXiv:2212.11285).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Training
from sideband.train.likelihood import fit_flow, prepared
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, FlowSettings
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """Which events, the shape of the flow, and its training."""

    of: Literal["data", "simulation"] = "data"  # CURTAINsF4F's efficient configuration; FETA
    flow: FlowSettings = field(default_factory=FlowSettings)  # ours: that of the sideband flow
    # Ours, up to convergence. F4F's library and FETA's code take 32 to 100 epochs of batches of 128 at a rate of 1e-4.
    training: Training = field(default_factory=lambda: Training(batch=1024, learning_rate=2e-3, interval=100, ema=0.99))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The density."""
    return {"density": ConditionalDensity(features, settings.flow)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit the density to all events of its kind, whatever their mass."""
    run.seeded("base")
    density = ConditionalDensity(len(task.features), settings.flow)
    x, mass = prepared(density, task.events(settings.of), task.mass_range, run.device)
    fit_flow("base", density.flow, x, mass, settings.training, run)
    return Fitted({"density": density})

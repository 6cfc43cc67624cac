"""FETA: a density of simulated background, carried to the data by a flow that is trained beside the window.

T. Golling, S. Klein, R. Mastandrea, B. Nachman, "FETA: Flow-Enhanced Transportation for Anomaly Detection",
arXiv:2212.11285. The base density of the simulation is known at every mass. A second flow, conditioned on the mass,
turns simulation into data; it is fitted to the sidebands and interpolated into the window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.likelihood import preprocessed
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, Flow, FlowSettings, identity
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """The transport and its training; the base is a shared fit."""

    flow: FlowSettings = field(default_factory=lambda: FlowSettings(couplings=8, hidden=32, bins=10))  # authors' code
    # Ours, up to convergence. The authors' code takes 50 epochs of batches of 256 at a rate of 5e-4.
    training: Training = field(default_factory=lambda: Training(batch=1024, learning_rate=2e-3, interval=100, ema=0.99))


class Corrected(nn.Module):
    """Background events: noise `[N, d]` and mass `[N, 1]` → features `[N, d]`, by way of the simulation.

    Args:
        base: density of the simulation.
        flow: maps preprocessed data to preprocessed simulation, at scaled masses.
    """

    def __init__(self, base: ConditionalDensity, flow: Flow) -> None:
        super().__init__()
        self.base, self.flow = base, flow

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Sample the simulation at the given masses, and turn it into data."""
        mass = self.base.mass(condition.T)[None]
        simulated = self.base.flow.sample(noise.T[None], mass)
        return self.base.preprocess.inverse(self.flow.sample(simulated, mass)[0]).T


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    (base,) = needs.values()
    return {"template": Corrected(ConditionalDensity(features, base.flow), Flow(features, 1, settings.flow))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit the transport by the likelihood of the sidebands under it and the base density."""
    (shared,) = needs.values()
    base = shared.modules["density"]
    assert isinstance(base, ConditionalDensity)
    data = task.events("data")
    x, mass = preprocessed(base, data[~task.inside(data)], run.device)
    run.seeded("transport")
    flow = identity(Flow(len(task.features), 1, settings.flow)).to(run.device)

    def loss(flow: Flow, batch: Batch) -> Tensor:
        events, mass = (rows.transpose(1, 2) for rows in batch.rows)
        simulated, change = flow.latent(events, mass)
        return -(base.flow.log_density(simulated, mass) + change).mean(1)

    run_fit("transport", flow, [Player(list(flow.parameters()), loss)], [x, mass], settings.training, run)
    return Fitted({"template": Corrected(base, flow)})

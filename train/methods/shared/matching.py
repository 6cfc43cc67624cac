"""The flow-matching model of SIGMA (arXiv:2410.20537), fitted to all the data once for all windows.

Its background models share this fit. The paper's v^CR is the same fit to the sidebands alone, with the plain mass as
condition.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training, spread_out
from sideband.train.fit import fit as run_fit
from sideband.train.likelihood import normalised
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.velocity import FlowMatching, Mixture, NetSettings
from sideband.train.run import Run
from sideband.train.settings import Count, Range


@dataclass(frozen=True)
class Settings:
    """The configuration of the authors' run script; the weights with the best exact likelihood are kept, as there."""

    sidebands: bool = False  # fit the sidebands alone, which is the paper's v^CR
    net: NetSettings = field(default_factory=NetSettings)  # authors' run script
    time_frequencies: Annotated[int, Range(1, 64)] = 3  # authors' code
    mass_frequencies: Annotated[int, Range(0, 16)] = 9  # authors' run script; 0 is the plain mass, as in v^CR
    likelihood_events: Count = 4000  # held-out events for the likelihood: ours, the authors take all
    likelihood_steps: Annotated[int, Range(1, 1000)] = 8  # midpoint steps: ours, the authors' solver is adaptive
    # Ours, up to convergence. Authors' run script: 2,000 epochs of batches of 4,096 at 3e-4, brought down on a plateau.
    training: Training = field(default_factory=lambda: Training(batch=1024, learning_rate=2e-3, weight_decay=1e-2))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The flow."""
    return {"flow": FlowMatching(features, settings.net, settings.time_frequencies, settings.mass_frequencies)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Regress the velocity of paths from noise to the data, with whatever signal is in them.

    The authors' paths are straight. Ours are arcs, as in arXiv:2209.15571: where the features are normal and
    independent, their velocity is zero, and so is that of the untrained network. It has only correlations to learn.
    """
    data = task.events("data")
    if settings.sidebands:
        data = data[~task.inside(data)]
    run.seeded("matching")
    flow = FlowMatching(len(task.features), settings.net, settings.time_frequencies, settings.mass_frequencies)
    x, mass = normalised(flow, needs, data, task.mass_range, run)

    def loss(flow: FlowMatching, batch: Batch) -> Tensor:
        events, mass = (rows[0] for rows in batch.rows)
        noise = torch.randn(events.shape, generator=batch.random, device=events.device)
        jitter = torch.rand((), generator=batch.random, device=mass.device)
        time = spread_out(len(mass), jitter)[:, None]
        angle = torch.pi / 2 * time
        path = torch.sin(angle) * events + torch.cos(angle) * noise
        speed = torch.pi / 2 * (torch.cos(angle) * events - torch.sin(angle) * noise)
        velocity = flow.net(path, flow.when(time), Mixture([flow.at(mass)]))
        return (velocity - speed).square().mean()[None]

    def surprise(flow: FlowMatching, batch: Batch) -> Tensor:
        events, mass = (rows[0, : settings.likelihood_events] for rows in batch.rows)
        return -flow.log_density_within(events, mass, settings.likelihood_steps).mean()[None]

    run_fit("matching", flow, [Player(list(flow.parameters()), loss, surprise)], [x, mass], settings.training, run)
    return Fitted({"flow": flow})

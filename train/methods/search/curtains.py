"""CURTAINs: sideband events carried to signal-region masses by an invertible flow, trained by optimal transport.

J. A. Raine, S. Klein, D. Sengupta, T. Golling, "CURTAINs for your Sliding Window: Constructing Unobserved Regions by
Transforming Adjacent Intervals", arXiv:2203.09470. Events are carried to the masses of other sideband events. The
Sinkhorn divergence between those that arrive and those that were there is the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from geomloss import SamplesLoss
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.likelihood import normalised
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import FlowSettings
from sideband.train.nets.transport import MassTransport
from sideband.train.run import Run
from sideband.train.settings import Positive, Range

GROUPS = 4  # of a batch: two are carried, two are what they are compared with
LOOKED_AT = 16  # batches of held-out events in a look


@dataclass(frozen=True)
class Settings:
    """The flow and the Sinkhorn divergence of the authors' code."""

    flow: FlowSettings = field(default_factory=lambda: FlowSettings(couplings=4, hidden=32, bins=4))  # authors' code
    blur: Positive = 0.01  # of the transport, in deviations of the features: authors' code
    scaling: Annotated[float, Range(0.1, 0.95)] = 0.7  # from one blur to the next: authors' code
    mass_weight: Positive = 4.0  # of half the mass range against a deviation of a feature: ours
    # Ours, up to convergence. The authors' code takes batches of 100 at a rate of 1e-4 that falls along a cosine.
    training: Training = field(default_factory=lambda: Training(batch=512, learning_rate=2e-3, interval=100, ema=0.99))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return {"template": MassTransport(features, settings.flow)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train on sideband events, each carried to the mass of another."""
    data = task.events("data")
    run.seeded("transport")
    transport = MassTransport(len(task.features), settings.flow)
    x, mass = normalised(transport, needs, data[~task.inside(data)], task.mass_range, run)
    divergence = Divergence(settings)

    def loss(transport: MassTransport, batch: Batch) -> Tensor:
        events, mass = (rows[0] for rows in batch.rows)
        return divergence(transport, events, mass)[None]

    def criterion(transport: MassTransport, batch: Batch) -> Tensor:
        events, mass = (torch.split(rows[0], settings.training.batch) for rows in batch.rows)
        whole = max(1, len(batch.rows[0][0]) // settings.training.batch)  # the last batch may be too small to compare
        parts = list(zip(events, mass, strict=True))[: min(whole, LOOKED_AT)]
        # geomloss turns gradients on again.
        return torch.stack([divergence(transport, *part).detach() for part in parts]).mean()[None]

    player = Player(list(transport.flow.parameters()), loss, criterion)
    run_fit("transport", transport, [player], [x, transport.mass(mass)], settings.training, run)
    return Fitted({"template": transport})


class Divergence:
    """How far events carried to the masses of others are from events of those masses.

    Clouds are compared in the features and the mass together, so that they agree at every mass and not on average.
    With small batches, the gradient of a Sinkhorn divergence draws events to the middle even where both clouds are of
    one distribution. In the mini-batch energy distance of T. Salimans et al., "Improving GANs Using Optimal Transport"
    (arXiv:1803.05573), that pull cancels: two independent clouds of each kind are compared within kinds too.
    """

    def __init__(self, settings: Settings) -> None:
        self.mass_weight = settings.mass_weight
        self.cost = SamplesLoss(
            "sinkhorn", p=2, blur=settings.blur, scaling=settings.scaling, debias=False, backend="tensorized"
        )

    def __call__(self, transport: MassTransport, x: Tensor, mass: Tensor) -> Tensor:
        """The distance `[]` for normal features `[N, d]` at scaled masses `[N, 1]`, of which half are carried."""
        size = len(x) // GROUPS
        groups, masses = (rows[: GROUPS * size].reshape(GROUPS, size, -1) for rows in (x, mass))
        source, here, there = (rows.flatten(0, 1).T[None] for rows in (groups[:2], masses[:2], masses[2:]))
        carried = transport.moved(source, here, there)[0].T.reshape(2, size, -1)
        # Each comparison is between the same two sets of masses, whatever the kinds.
        first, second = (torch.cat([kind, self.mass_weight * masses[2:]], 2) for kind in (carried, groups[2:]))
        one = torch.stack([first[0], second[0], first[0], second[0]])
        other = torch.stack([second[1], first[1], first[1], second[1]])
        between, also_between, within, also_within = self.cost(one, other)
        return between + also_between - within - also_within

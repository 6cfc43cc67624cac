"""CURTAINsF4F: sideband events carried to signal-region masses by a flow that is trained through a second density.

D. Sengupta, S. Klein, J. A. Raine, T. Golling, "CURTAINs Flows For Flows: Constructing Unobserved Regions with Maximum
Likelihood Estimation", arXiv:2305.04646. The base density p(x|m) is fitted first. The top flow carries an event to the
mass of another sideband event, and learns by the likelihood of what arrives under the base density at that mass. Two
configurations: a base of the sidebands for each window, or one base of all the data for every window ("efficient").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.likelihood import normalised
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, FlowSettings
from sideband.train.nets.transport import MassTransport, ends
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """The top flow and its training; the base is a shared fit."""

    flow: FlowSettings = field(default_factory=lambda: FlowSettings(couplings=4, hidden=32))  # ours
    # Ours, up to convergence. The authors' library takes batches of 256 for 12 to 64 epochs at rates of 1e-4 to 5e-4.
    training: Training = field(default_factory=lambda: Training(batch=1024, learning_rate=2e-3, interval=100, ema=0.99))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return {"template": MassTransport(features, settings.flow)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train the top flow on pairs of sideband events, each carried to the mass of the other."""
    (base,) = (fit.modules["density"] for fit in needs.values() if "density" in fit.modules)
    assert isinstance(base, ConditionalDensity)
    data = task.events("data")
    sidebands = data[~task.inside(data)]
    run.seeded("top")
    transport = MassTransport(len(task.features), settings.flow)
    x, mass = normalised(transport, needs, sidebands, task.mass_range, run)
    base.to(run.device)

    def loss(transport: MassTransport, batch: Batch) -> Tensor:
        return surprise(transport, base, batch, rising=batch.step % 2 == 0)

    def criterion(transport: MassTransport, batch: Batch) -> Tensor:
        both = [surprise(transport, base, batch, rising) for rising in (True, False)]
        return torch.stack(both).mean(0)

    player = Player(list(transport.flow.parameters()), loss, criterion)
    run_fit("top", transport, [player], [x, mass], settings.training, run)
    return Fitted({"template": transport})


def surprise(transport: MassTransport, base: ConditionalDensity, batch: Batch, rising: bool) -> Tensor:
    """-log p `[1]` of events that are carried to the mass of another one, under the base density there.

    Args:
        transport: carries normal features.
        base: the density of features in physical units.
        batch: normal features `[1, N, d]` and masses `[1, N, 1]`, in the mass unit; its halves are partners.
        rising: carry the lighter partner of each pair to the mass of the heavier one, or the heavier one down.
    """
    x, mass = (rows.transpose(1, 2) for rows in batch.rows)
    half = x.shape[2] // 2
    (one, other), (here, there) = ((rows[..., :half], rows[..., half : 2 * half]) for rows in (x, mass))
    moved = torch.where((here <= there) == rising, one, other)
    flow, way = transport.flow, ends(transport.mass(here), transport.mass(there))
    arrived, change = flow.latent(moved, way) if rising else flow.inverse(moved, way)
    at = (torch.maximum(here, there) if rising else torch.minimum(here, there))[0].T
    shape = transport.marginals.shapes(transport.mass(at))
    features = transport.marginals.inverse(arrived[0].T, shape)
    _, normal = transport.marginals(features, shape)
    # A density of normal features: that of the features, without the Jacobian of the marginals.
    return -(base.log_density(features, at) - normal + change).mean(1)

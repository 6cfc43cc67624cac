"""CaloFlow's first flow in the coordinates of its authors, for the score of their released code (arXiv:2312.11618).

p(layer energies | incident energy) once more, but in logits of shares, because what the released code makes of this
flow when it scores depends on the coordinates that the flow was trained in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.simulate.showers.geometry import layer_energies
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.autoregressive import AutoregressiveSettings
from sideband.train.nets.shower_logits import LogitLayers
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """Shape and training of the authors' code."""

    # Blocks, bins, bound and least are the authors'; they have two hidden layers of 64, we have one.
    flow: AutoregressiveSettings = field(
        default_factory=lambda: AutoregressiveSettings(6, 128, bins=8, bound=14.0, least=1e-6)
    )
    # Steps (75 epochs of 70,000), batch and rate are the authors'.
    training: Training = field(default_factory=lambda: Training(25_000, 200, 1e-4, "halving", patience=25))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The flow."""
    return {"flow": LogitLayers(settings.flow)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit the flow to the layer energies of the photons."""
    photons = task.events("data")
    layers = torch.from_numpy(layer_energies(photons.features)).float().to(run.device)
    energy = torch.from_numpy(photons.mass).to(run.device)
    run.seeded("shower layers")
    flow = LogitLayers(settings.flow).to(run.device)

    def loss(model: LogitLayers, batch: Batch) -> Tensor:
        layers, energy = (rows[0] for rows in batch.rows)
        return -model.log_density(layers.T, energy).mean()[None]

    run_fit("layers", flow, [Player(list(flow.parameters()), loss)], [layers, energy], settings.training, run)
    return Fitted({"flow": flow})

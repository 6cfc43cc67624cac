"""The density of photon showers, shared by all scores that use their likelihood.

The two flows of CaloFlow, as in arXiv:2312.11618: layer energies given the incident energy, and voxels given the layer
energies, trained separately. The typical likelihood at each energy is then measured on photons that neither has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower import NOISE, ShowerFlow, ShowerSettings
from sideband.train.run import Run

HELD_OUT = 0.1  # share of the photons for measuring the typical likelihood: ours


@dataclass(frozen=True)
class Settings:
    """Two trainings with the steps, batch and rate of the authors' code; the rest of them is ours."""

    flow: ShowerSettings = field(default_factory=ShowerSettings)  # see `ShowerSettings`
    layers: Training = field(default_factory=lambda: Training(25_000, 200, 1e-4, "halving", patience=25))
    voxels: Training = field(default_factory=lambda: Training(35_000, 200, 1e-4, "halving", patience=35))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The flow."""
    return {"flow": ShowerFlow(settings.flow)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit both flows to the photons, then measure the typical likelihood."""
    photons = task.events("data")
    fitted = round(len(photons) * (1 - HELD_OUT))
    showers = torch.from_numpy(photons.features[:fitted]).to(run.device)
    energy = torch.from_numpy(photons.mass[:fitted]).to(run.device)
    run.seeded("shower flow")
    flow = ShowerFlow(settings.flow).to(run.device)
    flow.fit_response(showers, energy)
    deposited = flow.deposited(showers.T).T.contiguous()

    def layers_loss(model: ShowerFlow, batch: Batch) -> Tensor:
        layers, energy = (rows[0] for rows in batch.rows)
        return -model.log_layers(layers.T, energy, _noise(layers.T, batch)).mean()[None]

    def voxels_loss(model: ShowerFlow, batch: Batch) -> Tensor:
        showers, layers = (rows[0] for rows in batch.rows)
        return -model.log_voxels(showers.T, layers.T, _noise(showers.T, batch)).mean()[None]

    for name, part, loss, tensors, training in (
        ("layers", flow.layers, layers_loss, [deposited, energy], settings.layers),
        ("voxels", flow.voxels, voxels_loss, [showers, deposited], settings.voxels),
    ):
        run_fit(name, flow, [Player(list(part.parameters()), loss)], tensors, training, run)
    flow.fit_typical(torch.from_numpy(photons.features[fitted:]).to(run.device))
    return Fitted({"flow": flow})


def _noise(like: Tensor, batch: Batch) -> Tensor:
    """Noise to fill empty layers or voxels: standard normal, cut at ± NOISE."""
    random = torch.randn(like.shape, generator=batch.random, device=like.device)
    return random.clamp(-NOISE, NOISE)

"""The diffusion model of the background, given the mass, fitted to the sidebands; shared by the variants of DRAPES.

DRAPES is arXiv:2312.10130. Loss, noise levels in training and averaged weights follow PC-Droid (arXiv:2307.06836), by
the same group.
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
from sideband.train.nets.diffusion import LEAST, MOST, Denoiser
from sideband.train.nets.velocity import NetSettings
from sideband.train.run import Run
from sideband.train.settings import Range


@dataclass(frozen=True)
class Settings:
    """Noise levels as in PC-Droid's code. DRAPES states neither size nor schedule, so those are ours."""

    net: NetSettings = field(default_factory=NetSettings)  # ours: SIGMA's network
    level_mean: Annotated[float, Range(-6, 4)] = -1.2  # mean of ln(noise level) in training: PC-Droid's code
    level_spread: Annotated[float, Range(0, 10, above=True)] = 1.2  # its standard deviation: PC-Droid's code
    # Ours, up to convergence; the average of the weights is PC-Droid's.
    training: Training = field(default_factory=lambda: Training(batch=512, learning_rate=2e-3, weight_decay=1e-2))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The denoiser."""
    return {"denoiser": Denoiser(features, settings.net)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit the denoiser to the data outside the window, by the mean squared error of its normalised output."""
    data = task.events("data")
    sidebands = data[~task.inside(data)]
    run.seeded("diffusion")
    denoiser = Denoiser(len(task.features), settings.net)
    x, mass = normalised(denoiser, needs, sidebands, task.mass_range, run)

    def loss(denoiser: Denoiser, batch: Batch) -> Tensor:
        events, mass = (rows[0] for rows in batch.rows)
        noisy, level, target = noised(events, settings, batch.random)
        return (denoiser.prediction(noisy, level, denoiser.at(mass.repeat(2, 1))) - target).square().mean()[None]

    run_fit("diffusion", denoiser, [Player(list(denoiser.parameters()), loss)], [x, mass], settings.training, run)
    return Fitted({"denoiser": denoiser})


def noised(events: Tensor, settings: Settings, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Add noise to events `[N, d]`, and then its mirror image.

    Where the level is low, the output to learn is mostly the noise itself, which says nothing about the events. In
    mirror images it cancels; Hammersley and Morton (1956) call such pairs antithetic.

    Returns:
        Noisy events `[2N, d]`, their noise levels `[2N, 1]`, and the outputs to learn `[2N, d]`.
    """
    jitter = torch.rand((), generator=random, device=events.device)
    normal = torch.special.ndtri(spread_out(len(events), jitter)[:, None])
    level = torch.exp(settings.level_mean + settings.level_spread * normal).clamp(LEAST, MOST)
    noise = level * torch.randn(events.shape, generator=random, device=events.device)
    events, level = events.repeat(2, 1), level.repeat(2, 1)
    noisy, spread = events + torch.cat([noise, -noise]), 1 + level * level
    return noisy, level, (events - noisy / spread) * torch.sqrt(spread) / level

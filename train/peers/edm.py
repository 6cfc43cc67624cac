"""EDM diffusion (arXiv:2206.00364) in plain torch, as one would write it after k-diffusion.

k-diffusion itself is about images, and brings dozens of packages.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sideband.train.peers import Peer

TITLE = "EDM, torch eager"
PACKAGE = "torch"
SETTINGS = "Table 1 of EDM (arXiv:2206.00364) with σ_data = 1: Heun, 18 steps; MLP of 3 × 256; k-diffusion's EMA"
LEAST, MOST, RHO, STEPS = 2e-3, 80.0, 7.0, 18
MEAN, SPREAD = -1.2, 1.2  # of ln σ in training
WIDTH = 256


class Denoiser(nn.Module):
    """The expected event behind a noisy one: features `[N, d]`, noise levels and masses `[N, 1]` → `[N, d]`."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Linear(features + 2, WIDTH), nn.SiLU()),
            *(nn.Linear(WIDTH, WIDTH), nn.SiLU()),
            *(nn.Linear(WIDTH, WIDTH), nn.SiLU()),
            nn.Linear(WIDTH, features),
        )

    def forward(self, x: Tensor, level: Tensor, mass: Tensor) -> Tensor:
        """EDM's preconditioning around the network, for data of unit variance."""
        spread = 1 + level * level
        raw = self.net(torch.cat([x * spread.rsqrt(), level.log() / 4, mass], 1))
        return x / spread + level * spread.rsqrt() * raw


def build(features: int) -> Peer:
    """The denoiser with EDM's loss and sampler."""
    return wrapped(features, lambda module: module)


def wrapped(features: int, wrap: Callable[[nn.Module], Any]) -> Peer:
    """The same with the network and its average in a wrapper; the average is what samples."""
    model = Denoiser(features)
    averaged = AveragedModel(model, multi_avg_fn=_average)
    denoise, smooth = wrap(model), wrap(averaged.module)

    def loss(x: Tensor, mass: Tensor) -> Tensor:
        averaged.update_parameters(model)  # with the last step
        level = (MEAN + SPREAD * torch.randn(len(x), 1)).exp()
        weight = (1 + level * level) / level**2
        return (weight * (denoise(x + level * torch.randn_like(x), level, mass) - x).square()).mean()

    def slope(x: Tensor, level: float, mass: Tensor) -> Tensor:
        return (x - smooth(x, torch.full_like(mass, level), mass)) / level

    ladder = torch.linspace(MOST ** (1 / RHO), LEAST ** (1 / RHO), STEPS).pow(RHO)

    def sample(mass: Tensor) -> Tensor:
        x = MOST * torch.randn(len(mass), features)
        for high, low in pairwise([*ladder.tolist(), 0.0]):
            first = slope(x, high, mass)
            ahead = x + (low - high) * first
            x = x + (low - high) * (first + slope(ahead, low, mass)) / 2 if low else ahead
        return x

    return Peer(model, loss, sample)


@torch.no_grad()
def _average(averaged: Any, current: Any, number: Tensor | int) -> None:
    torch._foreach_lerp_(averaged, current, max(1e-4, (1 + int(number)) ** (-2 / 3)))

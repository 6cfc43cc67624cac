"""TRANSIT: sideband events morphed to signal-region masses by an encoder and a decoder trained against a critic.

I. Oleksiyuk, S. Voloshynovskiy, T. Golling, "TRANSIT your events into a new mass", arXiv:2503.04342. The decoder gives
an event back at its own mass (reconstruction), the encoding does not depend on the mass it is decoded at
(consistency), and events decoded at each other's masses cannot be told from real ones of those masses (adversarial).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.likelihood import prepared
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.preprocessing import LogitStandardise, MassScale
from sideband.train.nets.residual import Critic, ResidualNet
from sideband.train.run import Run
from sideband.train.settings import Depth, Positive, Range, Width

Weight = Annotated[float, Range(0, 1e9)]


@dataclass(frozen=True)
class Settings:
    """The paper's configuration as in the authors' code; they train on 3.0-4.6 TeV, we on the task's whole range."""

    latent: Width = 8
    hidden: Width = 128  # of encoder and decoder
    blocks: Depth = 2  # residual blocks of each, after the input layer
    critic_hidden: Width = 64
    critic_layers: Depth = 4
    reconstruction: Positive = 1.0  # weights of the losses
    consistency: Weight = 0.1
    adversarial: Weight = 0.2
    generator_epochs: Annotated[int, Range(0, 10**9)] = 5  # before the critic starts to learn
    training: Training = field(
        default_factory=lambda: Training(200, 2048, 2e-4, schedule="halving", patience=None, clip=0.1)
    )

    def __post_init__(self) -> None:
        if self.training.patience is not None:
            raise ValueError("training.patience: neither side's loss says when to stop; give null")
        if self.adversarial and self.generator_epochs >= self.training.epochs:
            raise ValueError(
                f"generator_epochs {self.generator_epochs}: a critic must learn before training.epochs, "
                f"{self.training.epochs}, are over; choose fewer"
            )


class Morph(nn.Module):
    """Source events `[N, d]` at masses `[N, 1]` → events `[N, d]` at masses `condition` `[N, 1]`."""

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.preprocess = LogitStandardise(features)
        self.mass = MassScale()
        width, blocks = settings.hidden, settings.blocks
        self.encoder = ResidualNet(features, 1, settings.latent, width, blocks)
        self.decoder = ResidualNet(settings.latent, 1, features, width, blocks)

    def forward(self, condition: Tensor, source: Tensor, source_condition: Tensor) -> Tensor:
        """Morph each source event to its target mass."""
        x, _ = self.preprocess(source.T)
        latent = self.encoder(x.T, self.mass(source_condition))
        return self.preprocess.inverse(self.decoder(latent, self.mass(condition)).T).T


class Game(nn.Module):
    """The morph and the critic it is trained against."""

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.morph = Morph(features, settings)
        self.critic = Critic(features, 1, settings.critic_hidden, settings.critic_layers)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return {"template": Morph(features, settings)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train on the sidebands; signal-region masses enter through the consistency loss alone."""
    data = task.events("data")
    sidebands = data[~task.inside(data)]
    run.seeded("morph")
    game = Game(len(task.features), settings)
    morph = game.morph
    x, mass = prepared(morph, sidebands, task.mass_range, run.device)
    game.to(run.device)
    with torch.no_grad():
        all_masses = morph.mass(torch.from_numpy(data.mass).to(run.device))[:, None]

    made: list[Tensor] = []  # what the critic judged in this batch, for the morph's own step after it
    critic_ahead = [True]

    def critic_loss(game: Game, batch: Batch) -> Tensor | None:
        events, mass = (rows[0] for rows in batch.rows)
        other = mass[torch.randperm(len(mass), generator=batch.random, device=mass.device)]
        latent = game.morph.encoder(events, mass)
        exchanged = game.morph.decoder(latent, other)
        made[:] = [events, mass, other, latent, exchanged]
        if batch.epoch < settings.generator_epochs:
            critic_ahead[0] = True
            return None
        logits = game.critic(torch.cat([events, exchanged.detach()]), torch.cat([mass, other]))
        real = torch.cat([torch.ones_like(mass), torch.zeros_like(mass)])
        loss = functional.binary_cross_entropy_with_logits(logits, real)
        # The authors let the morph move only while the critic is better than a coin.
        critic_ahead[0] = float(loss.detach()) <= math.log(2)
        return loss[None]

    def morph_loss(game: Game, batch: Batch) -> Tensor | None:
        if not critic_ahead[0]:
            return None
        events, mass, other, latent, exchanged = made
        anywhere = all_masses[torch.randint(len(all_masses), (len(mass),), generator=batch.random, device=mass.device)]
        same, moved = game.morph.decoder(latent.repeat(2, 1), torch.cat([mass, anywhere])).chunk(2)
        reconstruction = functional.mse_loss(same, events)
        consistency = functional.mse_loss(game.morph.encoder(moved, anywhere), latent)
        logits = game.critic(exchanged, other)
        caught = functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
        return (
            settings.reconstruction * reconstruction
            + settings.consistency * consistency
            - settings.adversarial * caught
        )[None]

    players = [Player(list(game.critic.parameters()), critic_loss), Player(list(morph.parameters()), morph_loss)]
    run_fit("morph", game, players, [x, mass], settings.training, run)
    return Fitted({"template": morph})

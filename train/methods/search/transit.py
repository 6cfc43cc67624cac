"""TRANSIT: sideband events morphed to signal-region masses by an encoder and a decoder trained against a critic.

I. Oleksiyuk, S. Voloshynovskiy, T. Golling, "TRANSIT your events into a new mass", arXiv:2503.04342. Three losses train
the morph. Reconstruction: decoded at its own mass, an event comes back. Consistency: an event decoded at any mass has
the same encoding. Adversarial: the critic cannot distinguish events decoded at another sideband mass from real ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sideband.benchmarks.events.task import Task
from sideband.infer.inputs import Rows
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
    """The paper's configuration, from the authors' code; they train on 3.0-4.6 TeV, we on the task's whole range."""

    latent: Width = 8  # dimensions of the encoding: authors' code
    hidden: Width = 128  # units of encoder and decoder: authors' code
    blocks: Depth = 2  # residual blocks of each, after the input layer: authors' code
    critic_hidden: Width = 64  # authors' code
    critic_layers: Depth = 4  # authors' code
    reconstruction: Positive = 1.0  # weight of the loss: authors' code
    consistency: Weight = 0.1  # weight of the loss: authors' code
    adversarial: Weight = 0.2  # weight of the loss: authors' code
    generator_epochs: Annotated[int, Range(0, 10**9)] = 5  # before the critic starts to learn: authors' code
    # Epochs, batch, rate, schedule and clip are those of the authors' code; the average of the weights is ours.
    training: Training = field(
        default_factory=lambda: Training(200, 2048, 2e-4, schedule="halving", patience=None, clip=0.1)
    )

    def __post_init__(self) -> None:
        if self.training.patience is not None:
            raise ValueError("training.patience: no loss of an adversarial fit tells when to stop; give null")
        if self.adversarial and self.generator_epochs >= self.training.epochs:
            raise ValueError(
                f"generator_epochs {self.generator_epochs}: the critic needs some of the {self.training.epochs} "
                "training.epochs; choose fewer"
            )


class Morph(nn.Module):
    """Source events `[N, d]` at masses `[N, 1]` → events `[N, d]` at masses `condition` `[N, 1]`, physical units."""

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.preprocess = LogitStandardise(features)
        self.mass = MassScale()
        width, blocks = settings.hidden, settings.blocks
        self.encoder = ResidualNet(features, 1, settings.latent, width, blocks)
        self.decoder = ResidualNet(settings.latent, 1, features, width, blocks)
        self.drawn = {"source": Rows("data", "sidebands"), "source_condition": Rows("data", "sidebands")}

    def forward(self, condition: Tensor, source: Tensor, source_condition: Tensor) -> Tensor:
        """Morph each source event to its target mass."""
        x, _ = self.preprocess(source.T)
        latent = self.encoder(x.T, self.mass(source_condition))
        return self.preprocess.inverse(self.decoder(latent, self.mass(condition)).T).T


@dataclass(frozen=True)
class Exchange:
    """A batch of events `[N, d]` whose masses `[N, 1]` are shuffled among them."""

    events: Tensor
    mass: Tensor
    other: Tensor  # the mass of another event
    latent: Tensor  # the encoded events
    exchanged: Tensor  # the events decoded at the other mass


class Game(nn.Module):
    """The morph and the critic it plays against, with their losses `[1]`.

    Args:
        features: number of features d.
        settings: shapes of the networks and weights of the losses.
    """

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.morph = Morph(features, settings)
        self.critic = Critic(features, 1, settings.critic_hidden, settings.critic_layers)

    def exchange(self, batch: Batch) -> Exchange:
        """Encode the events and decode each at the mass of another; both players judge these."""
        events, mass = (rows[0] for rows in batch.rows)
        other = mass[torch.randperm(len(mass), generator=batch.random, device=mass.device)]
        latent = self.morph.encoder(events, mass)
        return Exchange(events, mass, other, latent, self.morph.decoder(latent, other))

    def critic_loss(self, batch: Batch) -> Tensor | None:
        """Cross-entropy of real events against exchanged ones; the critic waits for the first epochs."""
        if batch.epoch < self.settings.generator_epochs:
            return None
        made: Exchange = batch.prepared
        logits = self.critic(torch.cat([made.events, made.exchanged.detach()]), torch.cat([made.mass, made.other]))
        real = torch.cat([torch.ones_like(made.mass), torch.zeros_like(made.mass)])
        return functional.binary_cross_entropy_with_logits(logits, real)[None]

    def morph_loss(self, batch: Batch, masses: Tensor) -> Tensor | None:
        """Reconstruction, consistency at any of `masses` `[M, 1]`, and how well the critic is fooled."""
        (critic,) = batch.losses
        # As in the authors' code, the morph moves only while the critic does better than a coin.
        if critic is not None and not float(critic) <= math.log(2):
            return None
        made: Exchange = batch.prepared
        size, device = len(made.mass), made.mass.device
        anywhere = masses[torch.randint(len(masses), (size,), generator=batch.random, device=device)]
        same, moved = self.morph.decoder(made.latent.repeat(2, 1), torch.cat([made.mass, anywhere])).chunk(2)
        reconstruction = functional.mse_loss(same, made.events)
        consistency = functional.mse_loss(self.morph.encoder(moved, anywhere), made.latent)
        logits = self.critic(made.exchanged, made.other)
        caught = functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
        weights = self.settings
        return (
            weights.reconstruction * reconstruction + weights.consistency * consistency - weights.adversarial * caught
        )[None]


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return {"template": Morph(features, settings)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train on the sidebands; masses of the signal region enter through the consistency loss alone."""
    data = task.events("data")
    sidebands = data[~task.inside(data)]
    run.seeded("morph")
    game = Game(len(task.features), settings)
    morph = game.morph
    x, mass = prepared(morph, sidebands, task.mass_range, run.device)
    game.to(run.device)
    with torch.no_grad():
        masses = morph.mass(torch.from_numpy(data.mass).to(run.device))[:, None]
    players = [
        Player(list(game.critic.parameters()), Game.critic_loss),
        Player(list(morph.parameters()), lambda game, batch: game.morph_loss(batch, masses)),
    ]
    run_fit("morph", game, players, [x, mass], settings.training, run, prepare=Game.exchange)
    return Fitted({"template": morph})

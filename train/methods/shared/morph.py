"""TRANSIT's morph: an encoder and a decoder that carry sideband events to other masses, trained against a critic.

I. Oleksiyuk, S. Voloshynovskiy, T. Golling, "TRANSIT your events into a new mass", arXiv:2503.04342. Three losses train
the morph. Reconstruction: decoded at its own mass, an event comes back. Consistency: an event decoded at any mass has
the same encoding. Adversarial: the critic cannot distinguish events moved to another sideband mass from real ones.
TRANSIT's template and LaTRANSIT's encoder share this fit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sideband.benchmarks.events.task import Task
from sideband.train.distance import energy_distance
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.likelihood import normalised
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.morph import Morph, MorphSettings
from sideband.train.nets.residual import Critic
from sideband.train.run import Run
from sideband.train.settings import Count, Depth, Positive, Range, Width

Weight = Annotated[float, Range(0, 1e9)]

MASS_BINS = 40  # over the mass range, in which events are counted


@dataclass(frozen=True)
class Settings:
    """The paper's configuration, from the authors' code, where not marked as ours."""

    net: MorphSettings = field(default_factory=MorphSettings)  # authors' code
    critic_hidden: Width = 64  # authors' code
    critic_layers: Depth = 4  # authors' code
    reconstruction: Positive = 1.0  # weight of the loss: authors' code
    consistency: Weight = 0.1  # weight of the loss: authors' code; 10 for LaTRANSIT, see its page
    adversarial: Weight = 1.0  # weight of the loss: ours, theirs is 0.2
    generator_steps: Annotated[int, Range(0, 10**9)] = 200  # before the critic starts to learn: ours, theirs are 560
    evenly: Count = 4  # events of a batch for each that is taken, so that all masses come equally often: ours
    distance_events: Count = 4000  # held-out events for the energy distance that tells when to stop: ours
    # Ours, up to convergence of that distance. The authors train for 200 epochs and keep the last.
    training: Training = field(
        default_factory=lambda: Training(
            batch=2048, learning_rate=2e-3, interval=100, momentum=0.5, clip=1.0, ema=0.998
        )
    )

    def __post_init__(self) -> None:
        if self.adversarial and self.generator_steps >= self.training.steps:
            raise ValueError(
                f"generator_steps {self.generator_steps}: the critic needs some of the {self.training.steps} "
                "training.steps; choose fewer"
            )


@dataclass(frozen=True)
class Exchange:
    """A batch of events `[N, d]` whose masses `[N, 1]` are shuffled among them."""

    events: Tensor
    mass: Tensor
    other: Tensor  # the mass of another event
    latent: Tensor  # the encoded events
    rebuilt: Tensor  # the events decoded at their own mass
    exchanged: Tensor  # the events moved to the other mass


class Game(nn.Module):
    """The morph and the critic it plays against, with their losses `[1]`.

    Args:
        features: number of features d.
        settings: shapes of the networks and weights of the losses.
    """

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.morph = Morph(features, settings.net)
        self.critic = Critic(features, 1, settings.critic_hidden, settings.critic_layers)

    def exchange(self, batch: Batch) -> Exchange:
        """Take some events of a batch, encode them, and move each to the mass of another; both players judge these.

        Heavy events are rare, and a morph that meets few of them carries light events wrongly to where they are.
        """
        events, mass, weight = (rows[0] for rows in batch.rows)
        taken = torch.multinomial(weight[:, 0], -(-len(events) // self.settings.evenly), generator=batch.random)
        events, mass = events[taken], mass[taken]
        other = mass[torch.randperm(len(mass), generator=batch.random, device=mass.device)]
        latent = self.morph.encoder(events, mass)
        moved, rebuilt = self.morph.decoded(latent, other, mass)
        return Exchange(events, mass, other, latent, rebuilt, events + moved - rebuilt)

    def critic_loss(self, batch: Batch) -> Tensor | None:
        """Cross-entropy of real events against exchanged ones; the critic waits for the first steps."""
        if batch.step < self.settings.generator_steps:
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
        (there,) = self.morph.decoded(made.latent, anywhere)
        moved = made.events + there - made.rebuilt
        reconstruction = functional.mse_loss(made.rebuilt, made.events)
        consistency = functional.mse_loss(self.morph.encoder(moved, anywhere), made.latent)
        logits = self.critic(made.exchanged, made.other)
        caught = functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
        weights = self.settings
        return (
            weights.reconstruction * reconstruction + weights.consistency * consistency - weights.adversarial * caught
        )[None]

    def distance(self, batch: Batch) -> Tensor:
        """Energy distance `[1]` of exchanged events, each with its new mass, from real ones; no critic is asked."""
        made: Exchange = batch.prepared
        some = slice(self.settings.distance_events)
        exchanged = torch.cat([made.exchanged[some], made.other[some]], 1)
        return energy_distance(exchanged, torch.cat([made.events[some], made.mass[some]], 1))[None]


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The morph."""
    return {"morph": Morph(features, settings.net)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train on the sidebands; masses of the signal region enter through the consistency loss alone."""
    data = task.events("data")
    sidebands = data[~task.inside(data)]
    run.seeded("morph")
    game = Game(len(task.features), settings)
    morph = game.morph
    x, mass = normalised(morph, needs, sidebands, task.mass_range, run)
    game.to(run.device)
    with torch.no_grad():
        masses = morph.mass(torch.from_numpy(data.mass).to(run.device))[:, None]
        mass = morph.mass(mass)
    players = [
        Player(list(game.critic.parameters()), Game.critic_loss, Game.distance),
        Player(
            [*morph.encoder.parameters(), *morph.decoder.parameters()],
            lambda game, batch: game.morph_loss(batch, masses),
        ),
    ]
    run_fit("morph", game, players, [x, mass, rarity(mass)], settings.training, run, prepare=Game.exchange)
    return Fitted({"morph": morph})


def rarity(mass: Tensor) -> Tensor:
    """Weights `[N, 1]` with which all scaled masses `[N, 1]` are drawn about equally often.

    They are the inverse of the number of events near in mass, and no more than a hundred times the least one.
    """
    own = ((mass + 1) / 2 * MASS_BINS).long().clamp(0, MASS_BINS - 1)
    there = torch.bincount(own[:, 0], minlength=MASS_BINS)
    return (1 / there.clamp(min=float(there.max()) / 100))[own]

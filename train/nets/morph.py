"""TRANSIT's morph (arXiv:2503.04342): an encoder strips events of their mass, a decoder gives them another one.

Ours are two changes. The networks see features with normal marginals at every mass, as the continuous-time generators
do, so that they have only correlations to learn. And what the decoder misses at an event's own mass is added back at
the new one: x' = x + D(E(x, m), m') - D(E(x, m), m). So an event that keeps its mass stays exactly what it is, whatever
the weights, and an untrained morph moves the marginals alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sideband.train.nets.marginals import Marginals
from sideband.train.nets.preprocessing import MassScale
from sideband.train.nets.residual import ResidualNet
from sideband.train.settings import Depth, Width


@dataclass(frozen=True)
class MorphSettings:
    """Shape of encoder and decoder; the defaults are those of the authors' code."""

    latent: Width = 8  # dimensions k of the encoding
    hidden: Width = 128  # units of each layer
    blocks: Depth = 2  # residual blocks, after the input layer


class Morph(nn.Module):
    """Encoder and decoder, with the preprocessing of features and mass.

    Args:
        features: number of features d.
        settings: shape of both networks.
    """

    def __init__(self, features: int, settings: MorphSettings) -> None:
        super().__init__()
        self.latent_width = settings.latent
        self.marginals = Marginals(features)
        self.mass = MassScale()
        self.encoder = ResidualNet(features, 1, settings.latent, settings.hidden, settings.blocks)
        self.decoder = ResidualNet(settings.latent, 1, features, settings.hidden, settings.blocks)
        nn.init.zeros_(self.decoder.last.weight)  # starts from a morph of the marginals alone
        nn.init.zeros_(self.decoder.last.bias)

    def normal(self, features: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[N, d]` and masses `[N, 1]` in physical units, as the networks see them."""
        scaled = self.mass(mass)
        x, _ = self.marginals(features, self.marginals.shapes(scaled))
        return x, scaled

    def decoded(self, latent: Tensor, *masses: Tensor) -> tuple[Tensor, ...]:
        """Encodings `[N, k]` decoded at each of several scaled masses `[N, 1]`, in one pass."""
        return self.decoder(latent.repeat(len(masses), 1), torch.cat(masses)).chunk(len(masses))

    def forward(self, features: Tensor, mass: Tensor, other: Tensor) -> Tensor:
        """Morph features `[N, d]` from masses to other masses `[N, 1]`, all in physical units."""
        x, here = self.normal(features, mass)
        there = self.mass(other)
        latent = self.encoder(x, here)
        moved = x + self.decoder(latent, there) - self.decoder(latent, here)
        return self.marginals.inverse(moved, self.marginals.shapes(there))


class Encoder(nn.Module):
    """Features `[N, d]` and mass `[N, 1]` → encoding `[N, k]`, alike for background of every mass."""

    def __init__(self, morph: Morph) -> None:
        super().__init__()
        self.morph = morph
        self.latent_width = morph.latent_width

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Strip events of their mass."""
        return self.morph.encoder(*self.morph.normal(features, condition))

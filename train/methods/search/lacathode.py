"""LaCATHODE: CATHODE's classifier in the latent space of its flow, so that a cut does not shape the mass spectrum.

A. Hallin, G. Kasieczka, T. Quadfasel, D. Shih, M. Sommerhalder, "Resonant anomaly detection without background
sculpting", arXiv:2210.14924. The flow maps background of any mass to the same normal distribution. The classifier
compares the window's data there with samples of that distribution. It cannot learn the mass from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, DensitySampler
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """None of its own: flow, oversampling and classifier are those of CATHODE."""


class Encoder(nn.Module):
    """Features `[N, d]` and mass `[N, 1]` → latent `[N, d]`, normal for background of every mass."""

    def __init__(self, density: ConditionalDensity) -> None:
        super().__init__()
        self.density = density
        self.latent_width = density.flow.features

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Follow the flow back to noise."""
        return self.density.latent(features, condition)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template and the encoder."""
    return _modules(ConditionalDensity(features, needs["sideband"].flow))


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier."""
    density = needs["sideband"].modules["density"]
    assert isinstance(density, ConditionalDensity)
    return Fitted(_modules(density))


def _modules(density: ConditionalDensity) -> dict[str, nn.Module]:
    # The encoder turns the template back into the noise it came from, so the classifier sees samples of the prior.
    return {"template": DensitySampler(density), "encoder": Encoder(density)}

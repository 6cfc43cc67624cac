"""The residual network of the continuous-time generators, and flow matching with it, in physical units.

As in SIGMA (arXiv:2410.20537), time and mass enter the first layer and a gate in every block. To interpolate a
background model in mass, it is enough to mix those few activations. The diffusion of DRAPES uses the same network.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sideband.train.nets.flow import log_normal
from sideband.train.nets.marginals import Marginals
from sideband.train.nets.preprocessing import MassScale
from sideband.train.nets.solver import solve
from sideband.train.settings import Depth, Width


@dataclass(frozen=True)
class NetSettings:
    """Shape of the network; the defaults are those of SIGMA's run script."""

    hidden: Width = 256
    blocks: Depth = 4  # residual blocks, of two layers each


@dataclass(frozen=True)
class Mixture:
    """A mixture of contexts, the contributions of the mass to the network at one or more anchor masses.

    Args:
        contexts: pre-activations `[N or 1, hidden · (blocks + 1)]` at each anchor.
        weights: weight `[N, 1]` of each anchor; they sum to 1. Empty for a single anchor.
        inside: mix activations inside the network, in one pass; otherwise mix its outputs at the anchors.
        shapes: shapes of the marginals at each anchor, needed for sampling.
    """

    contexts: Sequence[Tensor]
    weights: Sequence[Tensor] = ()
    inside: bool = True
    shapes: Sequence[Tensor] = ()

    def of(self, values: Sequence[Tensor]) -> Tensor:
        """The weighted sum of values given for each anchor."""
        if len(values) == 1:
            return values[0]
        return torch.stack([value * weight for value, weight in zip(values, self.weights, strict=True)]).sum(0)


class GatedNet(nn.Module):
    """A residual network with gates: features `[N, d]` in a context → `[N, d]`.

    SIGMA's network without batch norm and dropout, which the authors' training freezes and switches off after its first
    likelihood evaluation. SiLU replaces ReLU, so that the exact divergence is smooth.

    Args:
        features: number of features d.
        times: size of the embedding of time or noise level.
        masses: size of the embedding of the mass.
        settings: shape.
    """

    def __init__(self, features: int, times: int, masses: int, settings: NetSettings) -> None:
        super().__init__()
        self.hidden = settings.hidden
        width = settings.hidden * (settings.blocks + 1)
        self.first = nn.Linear(features, settings.hidden)
        # Time and mass add to the first layer and to each gate, linearly, so that each is computed once.
        self.time = nn.Linear(times, width)
        self.mass = nn.Linear(masses, width, bias=False)
        self.inner = nn.ModuleList([nn.Linear(settings.hidden, settings.hidden) for _ in range(settings.blocks)])
        self.outer = nn.ModuleList([nn.Linear(settings.hidden, settings.hidden) for _ in range(settings.blocks)])
        self.last = nn.Linear(settings.hidden, features)
        for _, outer in self.layers:  # starts near the identity
            nn.init.uniform_(outer.weight, -1e-3, 1e-3)
            nn.init.zeros_(outer.bias)
        nn.init.zeros_(self.last.weight)  # what is right without a network stays so until it learns better
        nn.init.zeros_(self.last.bias)

    @property
    def layers(self) -> list[tuple[nn.Linear, nn.Linear]]:
        """The two layers of each block."""
        return cast(list[tuple[nn.Linear, nn.Linear]], list(zip(self.inner, self.outer, strict=True)))

    def forward(self, x: Tensor, time: Tensor, mixture: Mixture) -> Tensor:
        """Evaluate at features `[N, d]`, with the contribution `self.time(embedding)` of the time `[N or 1, …]`."""
        contexts = [time + context for context in mixture.contexts]
        if mixture.inside or len(contexts) == 1:
            return self._pass(x, contexts, mixture)
        return mixture.of([self._pass(x, [context], Mixture([context])) for context in contexts])

    def _pass(self, x: Tensor, contexts: Sequence[Tensor], mixture: Mixture) -> Tensor:
        shifts, gates = self._split(contexts, mixture)
        start = self.first(x)
        hidden = mixture.of([functional.silu(start + shift) for shift in shifts])
        for (inner, outer), gate in zip(self.layers, gates, strict=True):
            hidden = hidden + outer(functional.silu(inner(functional.silu(hidden)))) * gate
        return self.last(hidden)

    def _split(self, contexts: Sequence[Tensor], mixture: Mixture) -> tuple[list[Tensor], list[Tensor]]:
        """Shifts of the first layer at each anchor, and gates of the blocks, mixed before the sigmoid."""
        parts = [torch.split(context, self.hidden, 1) for context in contexts]
        gates = [
            torch.sigmoid(mixture.of([torch.relu(part[block]) for part in parts])) for block in range(1, len(parts[0]))
        ]
        return [part[0] for part in parts], gates

    def with_divergence(self, x: Tensor, time: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
        """The value `[N, d]` and its exact divergence `[N]` at a single anchor, with one tangent for each feature.

        The forward mode is written by hand, because torch's own does not export.
        """
        (shift,), gates = self._split([time + mixture.contexts[0]], mixture)
        hidden = self.first(x) + shift
        slope = self.first.weight.t()[:, None, :]  # [d, 1, hidden]
        hidden, bend = _silu(hidden)
        slope = slope * bend
        for (inner, outer), gate in zip(self.layers, gates, strict=True):
            value, bend = _silu(hidden)
            change = functional.linear(slope * bend, inner.weight)
            value, bend = _silu(inner(value))
            hidden = hidden + outer(value) * gate
            slope = slope + functional.linear(change * bend, outer.weight) * gate
        return self.last(hidden), (slope * self.last.weight[:, None, :]).sum(2).sum(0)


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    """SiLU and its derivative."""
    sigmoid = torch.sigmoid(x)
    value = x * sigmoid
    return value, sigmoid + value * (1 - sigmoid)


class FlowMatching(nn.Module):
    """A conditional flow dx/dt = v(x, t, mass) from noise at t = 0 to events at t = 1 (arXiv:2210.02747).

    Args:
        features: number of features d.
        settings: shape of the network.
        time_frequencies: K for an embedding of the time t by cos and sin of π k t, k = 1 … K.
        mass_frequencies: K for an embedding of the mass m, scaled to ±1, by cos and sin of π 2^k m, k = 0 … K - 1;
            0 for the plain m.
    """

    def __init__(self, features: int, settings: NetSettings, time_frequencies: int, mass_frequencies: int) -> None:
        super().__init__()
        self.features = features
        self.marginals = Marginals(features)
        self.mass = MassScale()
        self.turns: Tensor
        self.waves: Tensor
        self.register_buffer("turns", math.pi * torch.arange(1.0, time_frequencies + 1), persistent=False)
        self.register_buffer("waves", math.pi * 2.0 ** torch.arange(mass_frequencies), persistent=False)
        self.net = GatedNet(features, 2 * time_frequencies, 2 * mass_frequencies or 1, settings)

    def at(self, mass: Tensor) -> Tensor:
        """The contribution of masses `[N, 1]`, in the mass unit, to the network."""
        scaled = self.mass(mass)
        return self.net.mass(waves(scaled, self.waves) if len(self.waves) else scaled)

    def between(self, masses: Sequence[Tensor], weights: Sequence[Tensor] = (), inside: bool = True) -> Mixture:
        """The mixture of contexts at anchor masses `[N, 1]`; a single one needs no weights."""
        shapes = [self.marginals.shapes(self.mass(mass)) for mass in masses]
        return replace(self.contexts(masses, weights, inside), shapes=shapes)

    def contexts(self, masses: Sequence[Tensor], weights: Sequence[Tensor] = (), inside: bool = True) -> Mixture:
        """The same without the shapes of the marginals, for normal features."""
        return Mixture([self.at(mass) for mass in masses], weights, inside)

    def when(self, time: Tensor) -> Tensor:
        """The contribution of times `[N or 1, 1]` to the network."""
        return self.net.time(waves(time, self.turns))

    def _times(self, steps: int, backward: bool = False) -> Tensor:
        """Embedded times at the start and in the middle of each step: `[steps, 2, times]`."""
        start = torch.arange(steps, dtype=self.turns.dtype, device=self.turns.device)[:, None] / steps
        middle = start + 0.5 / steps
        if backward:
            start, middle = 1 - start, 1 - middle
        return torch.stack([waves(start, self.turns), waves(middle, self.turns)], 1)

    def carried(self, noise: Tensor, mixture: Mixture, steps: int) -> Tensor:
        """Map noise `[N, d]` to normal features `[N, d]`, by the midpoint rule."""

        def step(x: Tensor, embedded: Tensor) -> Tensor:
            times = self.net.time(embedded)  # inside the step, so that an exported file keeps these weights
            middle = x + 0.5 / steps * self.net(x, times[:1], mixture)
            return x + 1 / steps * self.net(middle, times[1:], mixture)

        return solve(step, noise, self._times(steps))

    def leapt(self, noise: Tensor, mixture: Mixture) -> Tensor:
        """Map noise `[N, d]` to normal features `[N, d]` in one step, which only a distilled network does well."""
        return noise + self.net(noise, self.when(torch.zeros_like(noise[:1, :1])), mixture)

    def physical(self, normal: Tensor, mixture: Mixture) -> Tensor:
        """Map normal features `[N, d]` to features `[N, d]`."""
        return self.marginals.inverse(normal, mixture.of(mixture.shapes))

    def sample(self, noise: Tensor, mixture: Mixture, steps: int) -> Tensor:
        """Map noise `[N, d]` to features `[N, d]`, by the midpoint rule."""
        return self.physical(self.carried(noise, mixture, steps), mixture)

    def log_density(self, features: Tensor, mass: Tensor, steps: int) -> Tensor:
        """Log p(features | mass) `[N]` of features `[N, d]` at masses `[N, 1]`, by the flow backwards in time."""
        x, log_determinant = self.marginals(features, self.marginals.shapes(self.mass(mass)))
        return self.log_density_within(x, mass, steps) + log_determinant

    def log_density_within(self, x: Tensor, mass: Tensor, steps: int) -> Tensor:
        """Log p `[N]` of normal features `[N, d]`: midpoint rule, with the exact divergence in the middle of a step."""
        mixture = Mixture([self.at(mass)])

        def step(state: Tensor, embedded: Tensor) -> Tensor:
            times = self.net.time(embedded)
            x, change = state[:, :-1], state[:, -1:]
            middle = x - 0.5 / steps * self.net(x, times[:1], mixture)
            velocity, divergence = self.net.with_divergence(middle, times[1:], mixture)
            return torch.cat([x - 1 / steps * velocity, change - 1 / steps * divergence[:, None]], 1)

        start = torch.cat([x, torch.zeros_like(mass)], 1)
        state = solve(step, start, self._times(steps, backward=True))
        noise = state[:, :-1]
        return state[:, -1] + log_normal(noise.T)


def shares(mass: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The weights `[N, 1]` of two anchor masses for masses between them, `[N, 1]` each: linear in the mass."""
    share = (high - mass) / (high - low)
    return share, 1 - share


def waves(x: Tensor, frequencies: Tensor) -> Tensor:
    """Cosines and sines `[N, 2 K]` of `[N, 1]` at K frequencies."""
    return torch.cat([torch.cos(x * frequencies), torch.sin(x * frequencies)], 1)

"""Conditional spline coupling flows in physical units, several trained at once.

Tensors are feature-major, `[members, features, events]`. Events are contiguous in memory, so the many small operations
of a spline vectorise: on one CPU core, training is 1.5 times and evaluation twice as fast as event-major. A stack of
members costs one graph.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from sideband.infer.meaning import LOG_RATIO
from sideband.train.nets.preprocessing import LogitStandardise, MassScale
from sideband.train.nets.spline import Bins, Bound, Least, rational_quadratic_spline
from sideband.train.settings import Depth, Width


@dataclass(frozen=True)
class FlowSettings:
    """Shape of a flow; the defaults are those of R-ANODE's code (arXiv:2312.11629) where not marked as ours."""

    couplings: Depth = 6  # transforms
    hidden: Width = 64  # units of each layer in the conditioner networks
    layers: Depth = 2  # their hidden layers
    bins: Bins = 8  # spline bins
    bound: Bound = 8.0  # splines act within ± so many standard deviations, the identity beyond
    least: Least = 1e-3  # least width and height (as fractions) and slope of a bin: ours, theirs is 1e-6


def log_normal(noise: Tensor) -> Tensor:
    """Log-density `[…, N]` of standard normal noise `[…, d, N]`."""
    return -0.5 * (noise * noise).sum(-2) - 0.5 * noise.shape[-2] * math.log(2 * math.pi)


class StackedLinear(nn.Module):
    """One linear layer for each member: `[M or 1, inputs, N]` → `[M, outputs, N]`."""

    def __init__(self, members: int, inputs: int, outputs: int, scale: float = 1.0) -> None:
        super().__init__()
        bound = scale / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(members, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outputs, 1).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[M, inputs, N]` to `[M, outputs, N]`, each member by its own layer."""
        if len(self.weight) == 1:  # one fused product instead of a batched product and a sum
            return torch.addmm(self.bias[0], self.weight[0], x[0])[None]
        return self.weight @ x + self.bias


class Coupling(nn.Module):
    """One coupling layer: splines change some features, shaped by the kept features and the condition."""

    def __init__(
        self, members: int, kept: list[int], changed: list[int], conditions: int, settings: FlowSettings
    ) -> None:
        super().__init__()
        self.settings, self.changes = settings, len(changed)
        self.kept: Tensor
        self.changed: Tensor
        self.back: Tensor
        for name, indices in (("kept", kept), ("changed", changed), ("back", _inverse(kept + changed))):
            self.register_buffer(name, torch.tensor(indices, dtype=torch.long), persistent=False)
        sizes = [len(kept) + conditions, *[settings.hidden] * settings.layers]
        self.hidden = nn.ModuleList([StackedLinear(members, i, o) for i, o in pairwise(sizes)])
        # Starts near the identity.
        self.last = StackedLinear(members, settings.hidden, self.changes * (3 * settings.bins - 1), scale=0.01)

    def forward(self, x: Tensor, condition: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Map features `[M, d, N]` given conditions `[M, c, N]`; returns them and the log-determinant `[M, N]`."""
        kept, changed = x.index_select(1, self.kept), x.index_select(1, self.changed)
        changed, log_derivative = rational_quadratic_spline(
            changed, self.shapes(kept, condition), self.settings.bound, self.settings.least, inverse
        )
        return torch.cat([kept, changed], 1).index_select(1, self.back), log_derivative.sum(1)

    def shapes(self, kept: Tensor, condition: Tensor) -> Tensor:
        """The parameters `[M, 3K - 1, changed, N]` of the splines, from the kept features and the conditions."""
        hidden = torch.cat([kept, condition], 1)
        for layer in self.hidden:
            hidden = torch.relu(layer(hidden))
        return self.last(hidden).reshape(kept.shape[0], 3 * self.settings.bins - 1, self.changes, kept.shape[2])


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


class Flow(nn.Module):
    """A stack of flows from standard normal noise to preprocessed features, given conditions.

    Args:
        features: number of features d, at least 1.
        conditions: number of conditions c.
        settings: shape.
        members: independent flows in the stack.
        coupling: the kind of its layers.
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        settings: FlowSettings,
        members: int = 1,
        coupling: type[Coupling] = Coupling,
    ) -> None:
        super().__init__()
        self.features, self.members = features, members
        # The shape alone fixes the orders, so that a loaded flow has those it was trained with.
        random = torch.Generator().manual_seed(0)
        couplings: list[Coupling] = []
        kept: list[int] = []
        changed: list[int] = []
        for layer in range(settings.couplings):
            if layer % 2 == 0 or features == 1:
                order = torch.randperm(features, generator=random, device="cpu").tolist()
                kept, changed = order[: features // 2], order[features // 2 :]
            else:  # the other half: every pair of layers changes every feature
                kept, changed = changed, kept
            couplings.append(coupling(members, kept, changed, conditions, settings))
        self.couplings = nn.ModuleList(couplings)

    def latent(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The noise `[M, d, N]` that `sample` maps to `x`, and the log-determinant `[M, N]`.

        Args:
            x: preprocessed features `[M or 1, d, N]`.
            condition: `[M or 1, c, N]`.
        """
        x, condition = x.expand(self.members, -1, -1), condition.expand(self.members, -1, -1)
        total = torch.zeros_like(x[:, 0])
        for coupling in self.couplings:
            x, log_determinant = coupling(x, condition)
            total = total + log_determinant
        return x, total

    def log_density(self, x: Tensor, condition: Tensor) -> Tensor:
        """Log p `[M, N]` of preprocessed features `[M or 1, d, N]` given `[M or 1, c, N]`."""
        noise, log_determinant = self.latent(x, condition)
        return log_determinant + log_normal(noise)

    def sample(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Map standard normal noise `[M or 1, d, N]` given `[M or 1, c, N]` to preprocessed features `[M, d, N]`."""
        return self.inverse(noise, condition)[0]

    def inverse(self, noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The features `[M, d, N]` that `latent` maps to `noise`, and its log-determinant `[M, N]`."""
        x, condition = noise.expand(self.members, -1, -1), condition.expand(self.members, -1, -1)
        total = torch.zeros_like(x[:, 0])
        for coupling in reversed(self.couplings):
            x, log_determinant = coupling(x, condition, inverse=True)
            total = total + log_determinant
        return x, total


def identity(flow: Flow) -> Flow:
    """The flow, made to change nothing until it is trained."""
    for coupling in flow.couplings:
        assert isinstance(coupling, Coupling)
        for parameter in coupling.last.parameters():
            nn.init.zeros_(parameter)
    return flow


class ConditionalDensity(nn.Module):
    """A flow in physical units: p(features | mass) over a mass range.

    Args:
        features: number of features d.
        settings: shape of the flow.
    """

    def __init__(self, features: int, settings: FlowSettings) -> None:
        super().__init__()
        self.preprocess = LogitStandardise(features)
        self.mass = MassScale()
        self.flow = Flow(features, 1, settings)

    def log_density(self, features: Tensor, mass: Tensor) -> Tensor:
        """Log p(features | mass) `[N]` of features `[N, d]` at masses `[N, 1]`."""
        x, log_determinant = self.preprocess(features.T)
        return self.flow.log_density(x[None], self.mass(mass.T)[None])[0] + log_determinant

    def latent(self, features: Tensor, mass: Tensor) -> Tensor:
        """The noise `[N, d]` that `sample` maps to features `[N, d]` at masses `[N, 1]`."""
        x, _ = self.preprocess(features.T)
        return self.flow.latent(x[None], self.mass(mass.T)[None])[0][0].T

    def sample(self, noise: Tensor, mass: Tensor) -> Tensor:
        """Map noise `[N, d]` at masses `[N, 1]` to features `[N, d]`."""
        return self.preprocess.inverse(self.flow.sample(noise.T[None], self.mass(mass.T)[None])[0]).T


class DensitySampler(nn.Module):
    """Events of a density: noise `[N, d]` and mass `[N, 1]` → features `[N, d]`."""

    def __init__(self, density: ConditionalDensity) -> None:
        super().__init__()
        self.density = density

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Sample the density at the given masses."""
        return self.density.sample(noise, condition)


class DensityRatio(nn.Module):
    """An anomaly score `[N, 1]` of features `[N, d]` at masses `[N, 1]`: log p(x|m) - log p_background(x|m).

    The numerator is the density of the background's noise z, where the background is a standard normal, so the
    Jacobians of the background cancel. A numerator that has learnt nothing gives 0 everywhere.

    Args:
        background: the background's density.
        numerator: a single flow, of noise.
    """

    meaning = LOG_RATIO
    resolution = 1e-4  # rounding of two logarithms of some 10 is a tenth of it, whatever the ratio's own spread

    def __init__(self, background: ConditionalDensity, numerator: Flow) -> None:
        super().__init__()
        self.background, self.numerator = background, numerator

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """The score."""
        noise = self.background.latent(features, condition).T[None]
        mass = self.background.mass(condition.T)[None]
        return (self.numerator.log_density(noise, mass) - log_normal(noise)).T

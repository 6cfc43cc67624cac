"""The density of a signal beside a known background: a stack of flows, each with a density of the mass in the window.

R-ANODE (arXiv:2312.11629) models p_S(x, m). We write p_S(m) p_S(x|m), which is exact. The features that a flow sees are
either the preprocessed ones, as in the paper, or the background flow's noise z, where the background is a standard
normal at every mass and a flow that has learned nothing is the background itself.
"""

import math

import torch
from torch import Tensor, nn

from sideband.infer.meaning import LOG_RATIO
from sideband.train.nets.flow import ConditionalDensity, Flow, FlowSettings, log_normal
from sideband.train.nets.spline import rational_quadratic_spline

LEAST = 1e-3  # least bin of the mass density's spline


def log_mass_density(position: Tensor, parameters: Tensor) -> Tensor:
    """Log p_S `[M, N]` of positions `[M, N]` in the window, from -1 to 1, given a spline's `[M, 3K - 1, 1, 1 or N]`."""
    parameters = parameters.expand(-1, -1, 1, position.shape[1])
    _, log_derivative = rational_quadratic_spline(position[:, None], parameters, 1.0, LEAST)
    return log_derivative[:, 0] - math.log(2)


class SignalDensity(nn.Module):
    """A fitted signal: the mean of its members' densities, in physical units.

    Args:
        background: the background's density.
        settings: shape of the flows.
        members: flows in the stack.
        bins: spline bins of the mass density.
        in_noise: whether the flows see the background flow's noise, and not its preprocessed features.
        constants: further conditions of the flows, the same for all events.
    """

    def __init__(
        self,
        background: ConditionalDensity,
        settings: FlowSettings,
        members: int,
        bins: int,
        in_noise: bool = False,
        constants: int = 0,
    ) -> None:
        super().__init__()
        self.background, self.in_noise = background, in_noise
        self.flow = Flow(background.flow.features, 1 + constants, settings, members)
        self.mass: Tensor
        self.constants: Tensor
        self.log_weight: Tensor
        self.steps: Tensor
        self.window: Tensor
        self.register_buffer("mass", torch.zeros(members, 3 * bins - 1, 1, 1))
        self.register_buffer("constants", torch.zeros(1, constants, 1))
        self.register_buffer("window", torch.tensor([-1.0, 1.0]))
        self.register_buffer("log_weight", torch.zeros(members, 1))
        self.register_buffer("steps", torch.zeros(members, 2, 1))
        self.keep(torch.ones(members, dtype=torch.bool))

    def keep(self, members: Tensor) -> None:
        """Average only over the members marked true in `[M]`."""
        left_out = -1e4  # a weight of zero in float32, but finite
        weight = members.float() / members.sum()
        self.log_weight.copy_(torch.where(members, weight.log().clamp(min=left_out), left_out)[:, None])
        # Noise between two of these steps belongs to a member. Compared in the unit of the noise, rounding moves none.
        ends = torch.special.ndtri(weight.double().cumsum(0).clamp(max=1)).clamp(-1e4, 1e4)
        low = torch.cat([ends.new_full((1,), -1e4), ends[:-1]])
        left = members.flip(0).cumsum(0).flip(0)  # how many are kept from each one on
        ends = torch.where(members, torch.where(left == 1, 1e4, ends), low)
        self.steps.copy_(torch.stack([low, ends], 1)[:, :, None])

    def _seen(self, features: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
        """What the flows see `[1, d, N]`, and the log-density of the background there `[1, N]`."""
        x = self.background.preprocess(features.T)[0][None]
        noise, log_determinant = self.background.flow.latent(x, mass)
        normal = log_normal(noise)
        return (noise, normal) if self.in_noise else (x, normal + log_determinant)

    def _conditions(self, mass: Tensor) -> Tensor:
        """Conditions `[1, 1 + c, N]` at scaled masses `[1, 1, N]`."""
        return torch.cat([mass, self.constants.expand(-1, -1, mass.shape[2])], 1)

    def ratio(self, features: Tensor, mass: Tensor) -> Tensor:
        """Log p_S(x|m) - log p_B(x|m) `[N, 1]` of features `[N, d]` at masses `[N, 1]`."""
        scaled = self.background.mass(mass.T)[None]
        seen, log_background = self._seen(features, scaled)
        stacked = self.flow.log_density(seen, self._conditions(scaled)) + self.log_weight
        return (torch.logsumexp(stacked, 0) - log_background[0])[:, None]

    def sample(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[N, d]` and masses `[N, 1]` of noise `[N, d + 2]`: which member, the mass, the features."""
        which, at, noise = noise.T[:1], noise.T[1:2], noise.T[2:]
        chosen = ((which >= self.steps[:, 0]) & (which < self.steps[:, 1])).to(noise.dtype)  # [M, N]
        uniform = torch.erf(at / math.sqrt(2)).expand(len(self.mass), -1)
        position, _ = rational_quadratic_spline(
            uniform[:, None], self.mass.expand(-1, -1, 1, uniform.shape[1]), 1.0, LEAST, inverse=True
        )
        position = (position[:, 0] * chosen).sum(0, keepdim=True)
        low, high = self.window[0], self.window[1]
        mass = low + (high - low) * (0.5 + 0.5 * position)
        scaled = self.background.mass(mass)[None]
        x = (self.flow.sample(noise[None], self._conditions(scaled)) * chosen[:, None]).sum(0, keepdim=True)
        if self.in_noise:
            x = self.background.flow.sample(x, scaled)
        return self.background.preprocess.inverse(x[0]).T, mass.T


class SignalRatio(nn.Module):
    """The score of a fitted signal: features `[N, d]` and masses `[N, 1]` → log p_S(x|m) - log p_B(x|m) `[N, 1]`."""

    meaning = LOG_RATIO

    def __init__(self, signal: SignalDensity) -> None:
        super().__init__()
        self.signal = signal

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """The score."""
        return self.signal.ratio(features, condition)


class SignalSampler(nn.Module):
    """A template of a fitted signal: noise `[N, d + 2]` → features `[N, d]` and masses `[N, 1]`."""

    def __init__(self, signal: SignalDensity) -> None:
        super().__init__()
        self.signal = signal
        self.noise_columns = signal.flow.features + 2

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Sample the signal."""
        return self.signal.sample(noise)

"""EDM diffusion of features with normal marginals, sampled deterministically from any noise level.

T. Karras et al., "Elucidating the design space of diffusion-based generative models", arXiv:2206.00364; in
high-energy physics PC-Droid (arXiv:2307.06836) and DRAPES (arXiv:2312.10130).
"""

import torch
from torch import Tensor, nn

from sideband.train.nets.marginals import Marginals
from sideband.train.nets.preprocessing import MassScale
from sideband.train.nets.solver import solve
from sideband.train.nets.velocity import GatedNet, Mixture, NetSettings, waves

# EDM's noise levels, in standard deviations of the data; the ladder between them is even in the power 1 / RHO.
LEAST, MOST, RHO = 2e-3, 80.0, 7.0
LEVELS = 8  # frequencies of the embedded noise level


def ladder(steps: int, most: float = MOST) -> Tensor:
    """Falling noise levels `[n]`: `most`, then the levels below it of a full ladder of `steps`."""
    share = torch.arange(steps, dtype=torch.float64, device="cpu") / (steps - 1)
    levels = (MOST ** (1 / RHO) + share * (LEAST ** (1 / RHO) - MOST ** (1 / RHO))) ** RHO
    below = levels[levels < most * (1 - 1e-9)]
    return torch.cat([torch.tensor([most], dtype=torch.float64, device="cpu"), below])


class Denoiser(nn.Module):
    """The expected event behind a noisy one at a given mass, in features with normal marginals.

    Args:
        features: number of features d.
        settings: shape of the network.
    """

    def __init__(self, features: int, settings: NetSettings) -> None:
        super().__init__()
        self.marginals = Marginals(features)
        self.mass = MassScale()
        self.levels: Tensor
        self.register_buffer("levels", torch.pi / 4 * torch.arange(1.0, LEVELS + 1), persistent=False)
        self.net = GatedNet(features, 2 * LEVELS, 1, settings)

    def at(self, mass: Tensor) -> Mixture:
        """The contribution of masses `[N, 1]`, in the mass unit, to the network."""
        return Mixture([self.net.mass(self.mass(mass))])

    def prediction(self, y: Tensor, level: Tensor, mixture: Mixture) -> Tensor:
        """The raw output `[N, d]` of the network at noise levels `[N or 1, 1]`, of unit variance at every level."""
        embedded = waves(torch.log(level) / 4, self.levels)
        return self.net(y * torch.rsqrt(1 + level * level), self.net.time(embedded), mixture)

    def forward(self, y: Tensor, level: Tensor, mixture: Mixture) -> Tensor:
        """Denoise events `[N, d]` at noise levels `[N or 1, 1]`."""
        spread = 1 + level * level
        return y / spread + level * torch.rsqrt(spread) * self.prediction(y, level, mixture)

    def shape(self, mass: Tensor) -> Tensor:
        """The shapes of the marginals at masses `[N, 1]`, in the mass unit."""
        return self.marginals.shapes(self.mass(mass))

    def carried(self, y: Tensor, mass: Tensor, levels: Tensor) -> Tensor:
        """Normal features `[N, d]` from noisy ones `[N, d]` at `levels[0]`: Heun steps, then an Euler step to zero."""
        mixture = self.at(mass)

        def step(y: Tensor, row: Tensor) -> Tensor:
            high, low, there, share = row[:1], row[1:2], row[2:3], row[3:]
            slope = (y - self(y, high, mixture)) / high
            ahead = y + (low - high) * slope
            return y + (low - high) * ((1 - share) * slope + share * (ahead - self(ahead, there, mixture)) / there)

        # The last step belongs to the grid too, although its second slope has no weight: outside the loop its noise
        # level would be a constant, and export would bake the network's response to it into the file.
        low = torch.cat([levels[1:], torch.zeros_like(levels[:1])])
        there = torch.cat([levels[1:], levels[-1:]])
        share = torch.cat([torch.full_like(levels[1:], 0.5), torch.zeros_like(levels[:1])])
        return solve(step, y, torch.stack([levels, low, there, share], 1)[:, :, None])

    def leapt(self, y: Tensor, level: Tensor, mass: Tensor) -> Tensor:
        """The same in one step from noise levels `[N or 1, 1]`, which only a distilled network does well."""
        return y * torch.rsqrt(1 + level * level) + self.prediction(y, level, self.at(mass))

    def physical(self, normal: Tensor, mass: Tensor) -> Tensor:
        """Map normal features `[N, d]` at masses `[N, 1]`, in the mass unit, to features `[N, d]`."""
        return self.marginals.inverse(normal, self.shape(mass))

    def sample(self, y: Tensor, mass: Tensor, levels: Tensor) -> Tensor:
        """Features `[N, d]` from noisy normal ones `[N, d]` at `levels[0]`, step by step."""
        return self.physical(self.carried(y, mass, levels), mass)

"""The density of calorimeter showers: layer energies given the incident energy, then voxels given the layers.

C. Krause, B. Nachman, I. Pang, D. Shih, Y. Zhu, "Anomaly detection with flow-based fast calorimeter simulators",
arXiv:2312.11618. We use two autoregressive spline flows, as they do, and reconstruct the incident energy from the
deposited one, because it is unknown when scoring.

We differ in the coding of voxels and layers without energy. The paper gives them small numbers in a logit, which
float32 cannot tell apart. Here they become normal noise about 0, and energies lie apart from it on a logarithmic scale.
The result is a density in ln energy for hits, times the probability that the rest is empty. Like the paper's density in
logits, it is not dominated by the number of hits, as a density in MeV would be.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sideband.benchmarks.simulate.showers.geometry import LAYERS, THRESHOLD, VOXELS, layer_of
from sideband.train.nets.autoregressive import AutoregressiveFlow, AutoregressiveSettings, summed

# A share of energy becomes FIRST + (ln share - FLOOR) / SPAN; no energy becomes normal noise, cut at ± NOISE.
FLOOR, FIRST, SPAN, NOISE = -16.5, 4.0, 4.0, 3.0
BLANK = 0.5 * math.log(2 * math.pi)

LAYER_INPUTS, CONDITIONS = 3, 3
KNOTS = 17  # of the typical likelihood, evenly in the logarithm of the energy
ROWS = 1000  # showers evaluated at once, for bounded memory


@dataclass(frozen=True)
class ShowerSettings:
    """Shapes of both flows. CaloFlow: 6 blocks of two hidden layers of 64 for layers, 8 of one of 378 for voxels."""

    layers: AutoregressiveSettings = field(default_factory=lambda: AutoregressiveSettings(6, 128))  # one layer: ours
    voxels: AutoregressiveSettings = field(default_factory=AutoregressiveSettings)


class ShowerFlow(nn.Module):
    """p(shower | incident energy), for voxels in MeV and incident energies in GeV.

    Args:
        settings: shapes of both flows.
    """

    def __init__(self, settings: ShowerSettings) -> None:
        super().__init__()
        self.layer_of: Tensor
        one_hot = torch.nn.functional.one_hot(torch.as_tensor(layer_of), len(LAYERS)).T.float()
        self.register_buffer("layer_of", one_hot, persistent=False)
        self.response: Tensor
        self.spread: Tensor
        self.register_buffer("response", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.knots: Tensor
        self.typical: Tensor
        self.register_buffer("knots", torch.linspace(0.0, 1.0, KNOTS))
        self.register_buffer("typical", torch.stack([torch.zeros(KNOTS), torch.ones(KNOTS)], 1))
        self.layers = AutoregressiveFlow(orders(LAYER_INPUTS, settings.layers.blocks), 1, settings.layers)
        self.voxels = AutoregressiveFlow(orders(VOXELS, settings.voxels.blocks), CONDITIONS, settings.voxels)

    def fit_response(self, showers: Tensor, energy: Tensor) -> None:
        """Measure mean and spread of ln(deposited / incident energy) of showers `[N, 504]` with energies `[N]`."""
        found = torch.log(showers.double().sum(1) / (1000 * energy.double()))
        self.response.copy_(found.mean())
        self.spread.copy_(found.std())

    @torch.no_grad()
    def fit_typical(self, showers: Tensor) -> None:
        """Measure mean and standard deviation of log p at each energy, of showers `[N, 504]` that no fit has seen."""
        parts = [self.log_parts(rows) for rows in torch.split(showers, ROWS)]
        layers, voxels, energy = (torch.cat(column).double() for column in zip(*parts, strict=True))
        log_energy, found = torch.log(energy), layers + voxels
        low, high = torch.quantile(log_energy, torch.tensor([0.01, 0.99], dtype=torch.float64, device=energy.device))
        self.knots.copy_(torch.lerp(low, high, torch.linspace(0, 1, KNOTS, dtype=torch.float64, device=energy.device)))
        weight = self._near(log_energy)
        weight = weight / weight.sum(0)
        mean = found @ weight
        square = (found[:, None] - mean).square() * weight
        self.typical.copy_(torch.stack([mean, square.sum(0).sqrt()], 1))

    def standardised(self, log_density: Tensor, energy: Tensor) -> Tensor:
        """Deviation of log p `[N]` from that of typical photons with energies `[N]`, in standard deviations."""
        mean, deviation = (self._near(torch.log(energy)) @ self.typical).unbind(1)
        return (log_density - mean) / deviation

    def _near(self, log_energy: Tensor) -> Tensor:
        """Weights `[N, KNOTS]` of a linear interpolation between knots, constant beyond the outermost ones."""
        low, high = self.knots[0], self.knots[-1]
        place = (torch.minimum(torch.maximum(log_energy, low), high) - low) / (high - low) * (KNOTS - 1)
        return torch.relu(1 - (place[:, None] - torch.arange(KNOTS, device=place.device)).abs())

    def deposited(self, showers: Tensor) -> Tensor:
        """Layer energies `[3, N]` of showers `[504, N]`, in MeV."""
        return self.layer_of @ showers

    def reconstructed(self, layers: Tensor) -> Tensor:
        """Incident energy `[N]` in GeV, from layer energies `[3, N]` in MeV."""
        return layers.sum(0) / (1000 * torch.exp(self.response))

    def log_layers(self, layers: Tensor, energy: Tensor, noise: Tensor) -> Tensor:
        """Log p `[N]` of layer energies `[3, N]` given incident energies `[N]`; noise `[3, N]` fills empty layers."""
        total = layers.sum(0).clamp_min(THRESHOLD)
        ratio = (torch.log(total / (1000 * energy)) - self.response) / self.spread
        # The first layer and the last; the middle one holds the rest.
        outer, blank = layers[0::2], noise[0::2]
        coded, density = _coded(outer, total, blank)
        x = torch.cat([ratio[None], coded])
        return self.layers.log_density(x, _energy(energy)) + summed(density) - torch.log(self.spread)

    def log_voxels(self, showers: Tensor, layers: Tensor, noise: Tensor) -> Tensor:
        """Log p `[N]` of showers `[504, N]` given layer energies `[3, N]`; noise `[504, N]` fills empty voxels."""
        coded, density = _coded(showers, self.layer_of.T @ layers, noise)
        return self.voxels.log_density(coded, _layers(layers)) + summed(density)

    def log_parts(self, showers: Tensor, energy: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Log p of layers `[N]` and of voxels `[N]` of showers `[N, 504]`, and the incident energy `[N]` in GeV.

        Without an incident energy `[N]`, it is reconstructed. The noise of empty voxels is at its most likely value.
        """
        x = showers.T
        layers = self.deposited(x)
        energy = self.reconstructed(layers).clamp_min(1e-3) if energy is None else energy
        blank = torch.zeros_like(x)
        return self.log_layers(layers, energy, blank[: len(LAYERS)]), self.log_voxels(x, layers, blank), energy

    def sample(self, noise: Tensor, energy: Tensor) -> Tensor:
        """Showers `[N, 504]` from standard normal noise `[N, 507]` and incident energies `[N]`."""
        latent = noise.T
        coded = self.layers.sample(latent[:LAYER_INPUTS], _energy(energy)).T
        # Two-dimensional throughout: products of single columns from a Scan do not export.
        total = 1000 * energy[:, None] * torch.exp(coded[:, :1] * self.spread + self.response)
        first, last = total * _share(coded[:, 1:2]), total * _share(coded[:, 2:])
        layers = torch.cat([first, (total - first - last).clamp_min(0), last], 1).T
        coded = self.voxels.sample(latent[LAYER_INPUTS:], _layers(layers))
        energies = self.layer_of.T @ layers
        voxels = _above_threshold(_share(coded) * energies)
        # The hits of each layer are rescaled to its energy.
        factor = (layers / self.deposited(voxels).clamp_min(1e-12)).clamp(max=2.0)
        return (voxels * (self.layer_of.T @ factor)).T


def orders(features: int, blocks: int) -> list[list[int]]:
    """Orders of the blocks: ascending, reversed, random, that reversed, and so on; fixed by the shape alone."""
    random = torch.Generator().manual_seed(0)
    made: list[list[int]] = []
    for block in range(blocks):
        drawn = torch.randperm(features, generator=random, device="cpu").tolist() if block else list(range(features))
        made.append(drawn if block % 2 == 0 else made[-1][::-1])
    return made


def _energy(energy: Tensor) -> Tensor:
    """Incident energies `[N]` as a condition `[N, 1]`."""
    return torch.log(energy / 20)[:, None]


def _layers(layers: Tensor) -> Tensor:
    """Layer energies `[3, N]` as conditions `[N, 3]`."""
    return (torch.log(layers + THRESHOLD) / SPAN).T


def _coded(energy: Tensor, total: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Code energies `[d, N]` as shares of a total `[d, N]`; returns codes and log-derivatives by ln energy."""
    hit = energy > 0
    share = torch.log(torch.where(hit, energy, 1.0)) - torch.log(total.clamp_min(THRESHOLD))
    coded = torch.where(hit, FIRST + (share.clamp_min(FLOOR) - FLOOR) / SPAN, noise)
    return coded, torch.where(hit, -math.log(SPAN), 0.5 * noise * noise + BLANK)


def _share(coded: Tensor) -> Tensor:
    """Shares of a total, the inverse of `_coded`; next to nothing where there is no energy."""
    return torch.exp((coded - FIRST).clamp(max=-FLOOR / SPAN) * SPAN + FLOOR)


def _above_threshold(voxels: Tensor) -> Tensor:
    """Cut energies below half the threshold without a step, so that rounding neither makes nor removes a hit."""
    return torch.minimum(voxels, (2 * voxels - THRESHOLD).clamp_min(0))

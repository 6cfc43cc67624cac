"""Densities of showers in the coordinates of CaloFlow's code (arXiv:2312.11618): logits of shares of energy.

A density depends on its coordinates. The authors' are y = logit(α + (1 - 2α) x) of a share x
of energy, and they add up to 1 keV to every voxel. So a voxel without energy has a density of its own there: that of
the keV, which is spread over 1 keV / (α E) of a logit in a layer with the energy E, and at most over one or so. For E
above 1 GeV = 1 keV / α the density rises by ln E for each empty voxel; far below it does not depend on E.
"""

import math

import torch
from torch import Tensor, nn

from sideband.train.nets.autoregressive import AutoregressiveFlow, AutoregressiveSettings, summed
from sideband.train.nets.shower import LAYER_INPUTS, ShowerFlow, orders

ALPHA, NOISE = 1e-6, 1e-3  # of their logits; MeV, the largest energy that they add to a voxel


def log_logits(flow: ShowerFlow, showers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `flow.log_parts` of showers `[N, 504]` of unknown energy, in the authors' coordinates."""
    layers, voxels, energy = flow.log_parts(showers)
    x = showers.T
    deposited = flow.deposited(x)
    terms = voxel_terms(x, flow.layer_of.T @ deposited)
    return layers + layer_terms(deposited), voxels + terms, energy


def voxel_terms(showers: Tensor, energies: Tensor) -> Tensor:
    """What log p of voxels gains `[N]` from ours to the authors' coordinates; exact but for the keV on top of hits.

    Args:
        showers: `[504, N]`, MeV.
        energies: those of the voxels' layers `[504, N]`, MeV.
    """
    hit = showers > 0
    share = torch.where(hit, showers / energies.clamp_min(NOISE), 0.5)
    return summed(torch.where(hit, hit_term(share), empty_term(energies)))


def layer_terms(layers: Tensor) -> Tensor:
    """The same for log p of layer energies `[3, N]` in MeV, apart from the total energy's, which is a constant."""
    first, middle, last = layers.unbind(0)
    total = layers.sum(0).clamp_min(NOISE)
    behind = (middle + last).clamp_min(NOISE)
    terms = torch.where(first > 0, hit_term(first / total), 0.0)
    return terms + torch.where(last > 0, hit_term(last / behind), 0.0)


def hit_term(share: Tensor) -> Tensor:
    """Log of the derivative of ln(share) by its logit, for shares above 0 up to 1."""
    return torch.log((share + ALPHA) / share.clamp_min(1e-12)) + torch.log((1 - share).clamp_min(0) + ALPHA)


def empty_term(energy: Tensor) -> Tensor:
    """Log-density in logits of a voxel with nothing but the keV, in a layer with `energy` [MeV].

    It is the mean of ln(x') - ln(width), where width = 1 keV / energy and x' = α + width u, over u uniform in (0, 1).
    """
    energy = (energy * (ALPHA / NOISE)).clamp_min(1e-9)  # in GeV
    return torch.log1p(energy) + energy * torch.log1p(1 / energy) - 1


class LogitLayers(nn.Module):
    """p(layer energies | incident energy) in the authors' coordinates, for energies in MeV and in GeV.

    They are logits of the visible share of the incident energy, of the first layer's share of it, and of the middle
    layer's share of the rest.

    Args:
        settings: shape of the flow.
    """

    def __init__(self, settings: AutoregressiveSettings) -> None:
        super().__init__()
        self.flow = AutoregressiveFlow(orders(LAYER_INPUTS, settings.blocks), 1, settings)

    def log_density(self, layers: Tensor, energy: Tensor) -> Tensor:
        """Log p `[N]` of layer energies `[3, N]` given incident energies `[N]`."""
        first, middle, last = layers.unbind(0)
        total = layers.sum(0)
        incident = torch.maximum(1000 * energy, total)
        pairs = ((total, incident - total), (first, middle + last), (middle, last))
        return self.flow.log_density(torch.stack([_logit(*pair) for pair in pairs]), _condition(energy))

    def log_released(self, layers: Tensor, energy: Tensor) -> Tensor:
        """What the released code takes for log p when it scores: the same flow, fed with 2 (log10(E / MeV) - 1)."""
        fed = 2 * (torch.log(layers + NOISE) / math.log(10) - 1)
        return self.flow.log_density(fed, _condition(energy))


def _logit(part: Tensor, rest: Tensor) -> Tensor:
    """The logit of a part's share in a whole, from the part and the rest."""
    whole = (part + rest).clamp_min(NOISE)
    part, rest = (ALPHA + (1 - 2 * ALPHA) * each / whole for each in (part, rest))
    return torch.log(part) - torch.log(rest)


def _condition(energy: Tensor) -> Tensor:
    """Incident energies `[N]` as a condition `[N, 1]`, like the authors': log10 of 10 E / 100 GeV."""
    return torch.log10(energy / 10)[:, None]

"""A classifier of calorimeter showers: the network of arXiv:2312.11618, in MeV."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.train.settings import Depth, Width


@dataclass(frozen=True)
class ShowerClassifierSettings:
    """Width and depth of the network, as in the authors' code."""

    hidden: Width = 512
    layers: Depth = 2


class ShowerClassifier(nn.Module):
    """The logit `[N]` that showers `[N, 504]` in MeV are signal, from the voxels' shares and the deposited energy.

    Args:
        settings: width and depth.
    """

    def __init__(self, settings: ShowerClassifierSettings) -> None:
        super().__init__()
        sizes = [VOXELS + 1, *[settings.hidden] * settings.layers]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.network = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, showers: Tensor) -> Tensor:
        """The logit."""
        total = showers.sum(1, keepdim=True).clamp_min(1e-3)
        return self.network(torch.cat([torch.log10(total / 1000), showers / total], 1))[:, 0]

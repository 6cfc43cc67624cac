"""Masked autoregressive spline flows for many features: one pass to evaluate, one Scan a block to sample.

Tensors are feature-major, `[features, events]`, as in the coupling flows. With a single hidden layer (as in CaloFlow,
arXiv:2312.11618) sampling costs no more operations than evaluating: each new feature adds its column to the hidden
sums, and only the spline of the next feature is computed.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from sideband.train.nets.solver import Rows, collect
from sideband.train.nets.spline import Bins, Bound, Least, rational_quadratic_spline
from sideband.train.settings import Depth, Range


@dataclass(frozen=True)
class AutoregressiveSettings:
    """Shape of a flow; the defaults are those of CaloFlow's voxels (arXiv:2312.11618, authors' code) or ours."""

    blocks: Depth = 8
    hidden: Annotated[int, Range(4, 4096)] = 378  # units of the only hidden layer; a quarter see only conditions
    bins: Bins = 8
    bound: Bound = 10.0  # splines act within ± this value, the identity beyond: ours, theirs is 14
    least: Least = 1e-4  # least width and height (as fractions) and slope of a bin: ours, theirs is 1e-6


class Block(nn.Module):
    """One autoregressive transform: each feature passes a spline shaped by the features before it in an order.

    Args:
        order: features `0 … d - 1` in the order of sampling.
        conditions: number of conditions c.
        settings: shape.
    """

    FREE = 4  # one hidden unit in four sees only the conditions, so that even the first feature depends on them

    def __init__(self, order: list[int], conditions: int, settings: AutoregressiveSettings) -> None:
        super().__init__()
        self.settings, features = settings, len(order)
        self.order: Tensor
        self.place: Tensor
        self.sees: Tensor
        self.shapes: Tensor
        self.register_buffer("order", torch.tensor(order), persistent=False)
        place = torch.argsort(self.order)
        self.register_buffer("place", place, persistent=False)
        # A hidden unit of degree m sees the first m features of the order and shapes all the later ones.
        free = settings.hidden // self.FREE
        spread = torch.linspace(1, max(1, features - 1), settings.hidden - free).round().long()
        degree = torch.cat([torch.zeros(free, dtype=torch.long), spread])
        self.register_buffer("sees", (place[None] < degree[:, None]).float(), persistent=False)
        self.register_buffer("shapes", (degree[None] <= place[:, None]).float(), persistent=False)

        self.parameters_each = 3 * settings.bins - 1
        bound = 1 / math.sqrt(features + conditions)
        self.into = nn.Parameter(torch.empty(settings.hidden, features).uniform_(-bound, bound))
        self.given = nn.Linear(conditions, settings.hidden)
        # Starts as the identity.
        self.out = nn.Parameter(torch.zeros(self.parameters_each, features, settings.hidden))
        self.bias = nn.Parameter(torch.zeros(self.parameters_each, features))

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Map features `[d, N]` given conditions `[N, c]` to latents `[d, N]` and log-determinants `[N]`."""
        hidden = torch.relu(torch.addmm(self.given(condition).T, self.into * self.sees, x))
        weight = (self.out * self.shapes).reshape(-1, hidden.shape[0])
        shaped = torch.addmm(self.bias.reshape(-1, 1), weight, hidden)
        parameters = shaped.reshape(1, self.parameters_each, x.shape[0], -1)
        latent, log_derivative = rational_quadratic_spline(
            x[None], parameters, self.settings.bound, self.settings.least
        )
        return latent[0], summed(log_derivative[0])

    def inverse(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Map latents `[d, N]` given conditions `[N, c]` to features `[d, N]`, one feature after the other."""
        columns = (self.into * self.sees).T.index_select(0, self.order)
        weights = (self.out * self.shapes).transpose(0, 1).index_select(0, self.order)
        biases = self.bias.T.index_select(0, self.order)
        rows = (latent.index_select(0, self.order), columns, weights, biases)

        def step(sums: Tensor, row: Rows) -> tuple[Tensor, Tensor]:
            z, column, weight, bias = row
            shaped = bias[:, None] + weight @ torch.relu(sums)
            parameters = shaped.reshape(1, self.parameters_each, 1, -1)
            found, _ = rational_quadratic_spline(
                z.reshape(1, 1, -1), parameters, self.settings.bound, self.settings.least, inverse=True
            )
            x = found.reshape(1, -1)
            return sums + column[:, None] * x, x[0]

        start = torch.addmm(self.given.bias[:, None], self.given.weight, condition.T)
        return collect(step, start, rows).index_select(0, self.place)


def summed(x: Tensor) -> Tensor:
    """Sum features `[d, N]` to `[N]`, first within groups.

    ONNX Runtime adds one feature after the other; in float32, for hundreds of features, this rounds ten times more
    than torch's own order does.
    """
    group = math.gcd(len(x), 24)
    return x.reshape(len(x) // group, group, -1).sum(1).sum(0)


class AutoregressiveFlow(nn.Module):
    """A stack of blocks between features and standard normal latents.

    Args:
        orders: the order of each block.
        conditions: number of conditions c.
        settings: shape.
    """

    def __init__(self, orders: list[list[int]], conditions: int, settings: AutoregressiveSettings) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(order, conditions, settings) for order in orders])

    def log_density(self, x: Tensor, condition: Tensor) -> Tensor:
        """Log p `[N]` of features `[d, N]` given conditions `[N, c]`."""
        total = torch.zeros_like(x[0])
        for block in self.blocks:
            x, log_determinant = block(x, condition)
            total = total + log_determinant
        return total - 0.5 * summed(x * x) - 0.5 * len(x) * math.log(2 * math.pi)

    def sample(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Map standard normal latents `[d, N]` given conditions `[N, c]` to features `[d, N]`."""
        for block in reversed(list(self.blocks)):
            assert isinstance(block, Block)
            latent = block.inverse(latent, condition)
        return latent

"""Residual networks and critics of the transport methods, conditioned on the mass."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """h + scale · SiLU(Linear(SiLU(Linear([h, condition])))), with a learned scale for each channel."""

    def __init__(self, hidden: int, conditions: int) -> None:
        super().__init__()
        self.first = nn.Linear(hidden + conditions, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.scale = nn.Parameter(torch.ones(hidden))

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """Map the hidden layer `[N, hidden]` given conditions `[N, c]`."""
        inner = functional.silu(self.first(torch.cat([hidden, condition], 1)))
        return hidden + self.scale * functional.silu(self.second(inner))


class ResidualNet(nn.Module):
    """`[N, inputs]` and conditions `[N, c]` → `[N, outputs]`: TRANSIT's encoder and decoder (arXiv:2503.04342)."""

    def __init__(self, inputs: int, conditions: int, outputs: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs + conditions, hidden)
        self.blocks = nn.ModuleList([Block(hidden, conditions) for _ in range(blocks)])
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Evaluate the network."""
        hidden = self.first(torch.cat([x, condition], 1))
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.last(hidden)


class Critic(nn.Module):
    """The logit `[N, 1]` that events `[N, inputs]` are real; every hidden layer sees the conditions `[N, c]`."""

    def __init__(self, inputs: int, conditions: int, hidden: int, layers: int) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * layers]
        self.layers = nn.ModuleList([nn.Linear(i + conditions, o) for i, o in pairwise(sizes)])
        self.activations = nn.ModuleList([nn.PReLU() for _ in range(layers)])
        self.last = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Evaluate the network."""
        for layer, activation in zip(self.layers, self.activations, strict=True):
            x = activation(layer(torch.cat([x, condition], 1)))
        return self.last(x)

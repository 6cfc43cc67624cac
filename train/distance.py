"""The energy distance of two samples, a criterion for fits that have no likelihood."""

import torch
from torch import Tensor

ROWS = 1000  # events compared at once with all others, for bounded memory


def energy_distance(one: Tensor, other: Tensor) -> Tensor:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of samples `[N, d]` and `[M, d]`: 0 where their distributions are the same.

    G. J. Székely, M. L. Rizzo, J. Stat. Plan. Inference 143 (2013) 1249. Each event is also compared with itself, so
    the estimate is never negative.

    >>> energy_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])).item()
    1.0
    """
    return 2 * _mean_distance(one, other) - _mean_distance(one, one) - _mean_distance(other, other)


def _mean_distance(one: Tensor, other: Tensor) -> Tensor:
    """The mean Euclidean distance of all pairs."""
    total = torch.stack([torch.cdist(rows, other).sum() for rows in torch.split(one, ROWS)]).sum()
    return total / (len(one) * len(other))

"""A function of many events, in bounded memory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ROWS = 20_000  # events at once


@torch.no_grad()
def in_parts(function: Callable[..., Tensor], given: Sequence[Tensor], rows: int = ROWS) -> Tensor:
    """The function of tensors `[N, …]` each, evaluated for some rows at once and without gradients: `[N, …]`."""
    parts = zip(*(torch.split(tensor, rows) for tensor in given), strict=True)
    return torch.cat([function(*part) for part in parts])

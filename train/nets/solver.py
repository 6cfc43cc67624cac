"""A state taken along the rows of a grid, one loop for training, sampling and export.

Exported, the steps are the body of one ONNX Scan, so that a file holds the network once whatever the number of steps;
unrolled graphs grow by a hundred nodes a step, and take seconds to load.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]
Rows = tuple[Tensor, ...]


def solve(step: Step, state: Tensor, grid: Tensor) -> Tensor:
    """The state `[N, …]` after one step for each row of `grid` `[steps, …]`."""
    if not torch.compiler.is_exporting():
        for row in grid:
            state = step(state, row)
        return state
    shape = tuple(grid.shape[1:])

    def combine(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        row = row.reshape(shape)  # tracing would leave its shape open
        return step(state, row), row.clone()

    final: Tensor = _scan(combine, state, grid)[0]
    return final


def collect(step: Callable[[Tensor, Rows], tuple[Tensor, Tensor]], state: Tensor, rows: Rows) -> Tensor:
    """What each step gives beside the next state, `[steps, …]`, for tensors `[steps, …]` walked through together."""
    if torch.compiler.is_exporting():
        given: Tensor = _scan(step, state, rows)[1]
        return given
    made = []
    for row in zip(*rows, strict=True):
        state, each = step(state, row)
        made.append(each)
    return torch.stack(made)


def _scan(combine: Callable[..., tuple[Tensor, Tensor]], state: Tensor, rows: Tensor | Rows) -> tuple[Tensor, Tensor]:
    # The only way to a Scan; the path is private in torch 2.13.
    from torch._higher_order_ops import scan

    # Rows one after the other, because strides that depend on the number of events do not export.
    found: tuple[Tensor, Tensor] = scan(combine, state.clone(memory_format=torch.contiguous_format), rows)
    return found

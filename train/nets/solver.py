"""A state carried along the rows of a grid: one loop for training, sampling and export.

On export the step becomes the body of one ONNX Scan, so a file holds the network once, whatever the number of steps.
An unrolled graph would grow by a hundred nodes a step and take seconds to load.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]
Rows = tuple[Tensor, ...]


def solve(step: Step, state: Tensor, grid: Tensor) -> Tensor:
    """Take a state `[N, …]` through one step for each row of `grid` `[steps, …]`; returns the last state."""
    if not torch.compiler.is_exporting():
        for row in grid:
            state = step(state, row)
        return state
    shape = tuple(grid.shape[1:])

    def combine(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        row = row.reshape(shape)  # tracing would forget its shape
        return step(state, row), row.clone()

    final: Tensor = _scan(combine, state, grid)[0]
    return final


def collect(step: Callable[[Tensor, Rows], tuple[Tensor, Tensor]], state: Tensor, rows: Rows) -> Tensor:
    """Step along the rows of several tensors `[steps, …]`; returns the second output of each step, `[steps, …]`."""
    if torch.compiler.is_exporting():
        given: Tensor = _scan(step, state, rows)[1]
        return given
    made = []
    for row in zip(*rows, strict=True):
        state, each = step(state, row)
        made.append(each)
    return torch.stack(made)


def _scan(combine: Callable[..., tuple[Tensor, Tensor]], state: Tensor, rows: Tensor | Rows) -> tuple[Tensor, Tensor]:
    # The only way to a Scan; this path is private in torch 2.13.
    from torch._higher_order_ops import scan

    # Contiguous, because strides that depend on the number of events do not export.
    found: tuple[Tensor, Tensor] = scan(combine, state.clone(memory_format=torch.contiguous_format), rows)
    return found

"""Fixed-step integration of a state along a grid, one loop for training, sampling and export."""

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]


def solve(step: Step, state: Tensor, grid: Tensor) -> Tensor:
    """The state `[N, …]` after one step for each row of `grid` `[steps, …]`.

    Exported, the steps are the body of one ONNX Scan, so that a file holds the network once whatever the number of
    steps; unrolled graphs grow by a hundred nodes a step, and take seconds to load.
    """
    if not torch.compiler.is_exporting():
        for row in grid:
            state = step(state, row)
        return state
    # The only way to a Scan; the path is private in torch 2.13.
    from torch._higher_order_ops import scan

    shape = tuple(grid.shape[1:])

    def combine(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        row = row.reshape(shape)  # tracing would leave its shape open
        return step(state, row), row.clone()

    # Rows one after the other, because strides that depend on the number of events do not export.
    final: Tensor = scan(combine, state.clone(memory_format=torch.contiguous_format), grid)[0]
    return final

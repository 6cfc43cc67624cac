"""Gradient reversal: what follows learns from what precedes, and what precedes unlearns what that needs.

Y. Ganin, V. Lempitsky, "Unsupervised domain adaptation by backpropagation", arXiv:1409.7495.
"""

from typing import Any

import torch
from torch import Tensor


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The value itself."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Its gradient with the opposite sign."""
        return -gradient


def reversed_gradient(x: Tensor) -> Tensor:
    """The same numbers; gradients that flow back through them change their sign.

    >>> x = torch.ones(2, requires_grad=True)
    >>> (3 * reversed_gradient(x)).sum().backward()
    >>> x.grad
    tensor([-3., -3.])
    """
    return _Reversed.apply(x)  # type: ignore[no-untyped-call]

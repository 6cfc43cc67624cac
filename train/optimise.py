"""What an optimiser's step is made of: learning-rate schedules, clipped gradients, averaged weights."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# TRANSIT's authors (arXiv:2503.04342) halve the learning rate after these shares of the epochs.
HALVED_AT = (0.15, 0.5, 0.75, 0.875)

DROP = 0.2  # factor on the learning rate where the held-out loss no longer falls


def schedule(kind: str, share: float, drops: int = 0) -> float:
    """The factor on the learning rate after `share` of the training, from 0 to 1.

    Args:
        kind: "plateau", which follows the drops; "constant"; "cosine", which warms up over the first twentieth; or
            "halving", which follows `HALVED_AT`.
        share: finished part of the training.
        drops: plateaus so far.

    >>> schedule("plateau", 0.5, drops=1)
    0.2
    """
    if kind == "plateau":
        return float(DROP**drops)
    if kind == "cosine":
        warm = min(1.0, share / 0.05 + 1e-2)
        return warm * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * share))))
    if kind == "halving":
        return float(0.5 ** sum(share >= edge for edge in HALVED_AT))
    return 1.0


def clip(parameters: Sequence[nn.Parameter], limit: float, members: int) -> None:
    """Limit the norm of the gradient, for each member of a stack on its own.

    Args:
        parameters: with several members, the first axis of each counts them.
        limit: largest norm.
        members: size of the stack.
    """
    if members == 1:
        nn.utils.clip_grad_norm_(parameters, limit)
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    square = torch.stack([gradient.reshape(members, -1).square().sum(1) for gradient in gradients]).sum(0)
    factor = (limit / (square.sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.reshape(-1, *[1] * (gradient.dim() - 1)))


def moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average for `AveragedModel`, with a short memory at first to forget the random start."""

    def update(averaged: list[Tensor], current: list[Tensor], number: Tensor | int) -> None:
        number = int(number)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + number) / (10 + number)))

    return torch.no_grad()(update)


def keep_members(kept: dict[str, Tensor], current: dict[str, Tensor], chosen: Sequence[bool]) -> None:
    """Copy the weights of the chosen members of a stack into `kept`.

    Args:
        kept, current: state dictionaries of one model.
        chosen: one flag for each member.
    """
    members = len(chosen)
    for key, value in current.items():
        if members > 1 and value.dim() and value.shape[0] == members:
            for member in range(members):
                if chosen[member]:
                    kept[key][member] = value[member]
        elif any(chosen):
            kept[key] = value.clone()

"""What a fit is given: settings of the training, and the players with their losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from sideband.train.settings import Count, Positive, Range, Rate, Share


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    After every `interval` of steps the averaged weights are tried on the held-out events. A plateau is `patience` such
    looks in a row that find no gain. On the schedule "plateau" training then goes on from the best weights at a lower
    learning rate, and after `drops` of them the next plateau ends it. On the other schedules the first one does.
    """

    steps: Count = 20_000  # at most
    batch: Count = 256  # events in a step, for each member
    learning_rate: Rate = 1e-3
    schedule: Literal["plateau", "constant", "cosine", "halving"] = "plateau"
    interval: Count = 200  # steps from one look at the held-out events to the next
    validation: Share = 0.1  # share of the events held out; a look takes 100,000 of them at most
    patience: Count | None = 5  # looks without a gain; None runs all steps and keeps the last weights
    drops: Annotated[int, Range(0, 20)] = 2  # of the learning rate on the schedule "plateau"
    ema: Share = 0.999  # decay of the averaged weights, which are the ones kept
    clip: Positive = 5.0  # largest norm of a member's gradient
    weight_decay: Share = 0.0
    momentum: Share = 0.9  # Adam's β₁
    precision: Literal["float32", "bfloat16"] = "float32"  # of matrix products; splines stay in float32

    def __post_init__(self) -> None:
        if self.patience is not None and not self.validation:
            raise ValueError("patience needs held-out events; set validation above 0, or patience to null")
        if self.patience is None and self.schedule == "plateau":
            raise ValueError("schedule plateau needs patience; give a number of looks, or another schedule")


@dataclass(frozen=True)
class Batch:
    """One batch as a player sees it.

    Args:
        rows: rows of the training tensors, `[members, batch, …]` each.
        step: number of the step, from 0.
        random: generator for whatever a loss draws.
        prepared: what `prepare` made of the batch, the same for all players.
        losses: loss `[members]` of each player before this one, None for those that passed.
    """

    rows: tuple[Tensor, ...]
    step: int
    random: torch.Generator
    prepared: Any = None
    losses: tuple[Tensor | None, ...] = ()


# From the model and a batch to the loss of each member `[members]`, or None if this player passes.
Loss = Callable[[Any, Batch], Tensor | None]

# From the model and a batch to what its players share.
Prepare = Callable[[Any, Batch], Any]


@dataclass(frozen=True)
class Player:
    """One side of the training. Likelihood fits have one player, adversarial fits two.

    Args:
        parameters: the parameters that this player moves.
        loss: what they minimise.
        criterion: what is compared between looks at the held-out events; the loss itself if None.
        whole: whether the criterion is no mean over events, and so must see all held-out events at once.
        halves: whether two halves of the held-out events are also judged apart (`Progress.crossed`).
    """

    parameters: Sequence[nn.Parameter]
    loss: Loss
    criterion: Loss | None = None
    whole: bool = False
    halves: bool = False


def spread_out(number: int, jitter: Tensor) -> Tensor:
    """`number` draws `[…, number]` between 0 and 1, one in each part of the range, so that batches differ less.

    A loss that averages over a drawn quantity has a smaller error with them (arXiv:2107.00630).

    Args:
        number: draws along the last axis.
        jitter: uniform numbers `[]` or `[…, number]` from 0 to 1, the place of each draw in its part.
    """
    return ((torch.arange(number, device=jitter.device) + jitter) / number).clamp(1e-6, 1 - 1e-6)

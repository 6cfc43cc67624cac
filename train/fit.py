"""The one training loop: every model of every method is fitted here.

Events lie on the device from the start, and an epoch is a permutation of their rows. Everything random in an epoch
follows from (seed, name, epoch), so a fit that was killed and resumed gives bitwise what an unbroken one gives on the
CPU.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sideband.infer.errors import BadInput, GateFailed, in_one_line
from sideband.train.files import Damaged, read_tensors, write_tensors
from sideband.train.run import Progress, Run, derived_seed
from sideband.train.settings import Count, Positive, Rate, Share

VALIDATION_ROWS = 20_000

# The authors of TRANSIT (arXiv:2503.04342) halve the rate after these shares of the epochs.
HALVED_AT = (0.15, 0.5, 0.75, 0.875)


@dataclass(frozen=True)
class Training:
    """How a model is trained."""

    epochs: Count = 100
    batch: Count = 256  # events a step (of each member)
    learning_rate: Rate = 1e-3
    schedule: Literal["constant", "cosine", "halving"] = "constant"
    validation: Share = 0.1  # of the events, held out
    patience: Count | None = 10  # epochs without a better validation loss; None: all epochs, the last one kept
    ema: Share = 0.999  # decay of the averaged weights, which are the ones kept
    clip: Positive = 5.0  # largest norm of a member's gradient
    weight_decay: Share = 0.0
    momentum: Share = 0.9  # Adam's first decay
    precision: Literal["float32", "bfloat16"] = "float32"  # of matrix products; splines stay in float32

    def __post_init__(self) -> None:
        if self.patience is not None and not self.validation:
            raise ValueError("patience waits for the loss of events held out; give validation above 0, or no patience")


@dataclass(frozen=True)
class Batch:
    """Rows of the training tensors, `[members, batch, …]` each, with the epoch and its random numbers."""

    rows: tuple[Tensor, ...]
    epoch: int
    random: torch.Generator


# From the model and a batch to the loss of each member `[members]`, or None where this player passes.
Loss = Callable[[Any, Batch], Tensor | None]


@dataclass(frozen=True)
class Player:
    """One side of the training: parameters and the loss they lower. Likelihood fits have one, adversarial ones two.

    The criterion on held-out events is the loss itself where it is None.
    """

    parameters: Sequence[nn.Parameter]
    loss: Loss
    criterion: Loss | None = None


def fit(
    name: str,
    model: nn.Module,
    players: Sequence[Player],
    tensors: Sequence[Tensor],
    training: Training,
    run: Run,
    members: int = 1,
) -> Progress:
    """Train `model` in place; it ends with the averaged weights of each member's best epoch.

    Args:
        name: what this fit is called within the run: names its checkpoint, its curves and its random numbers.
        model: on `run.device`. With several members every parameter's first axis counts them.
        players: stepped in turn on every batch. The first one's criterion on the held-out events is that of early
            stopping, unless `training.patience` is None.
        tensors: `[events, …]` each, on the device.
        training: settings.
        run: seed, device, checkpoints, record.
        members: independent models trained together, each with its own split and order of the events.

    Raises:
        BadInput: too few events.
        GateFailed: a loss or a weight is not finite.
    """
    total = len(tensors[0])
    order = torch.stack([_permutation(total, derived_seed(run.seed, name, "split", k)) for k in range(members)])
    held_out = round(total * training.validation)
    if total - held_out < 2 or (training.patience is not None and not held_out):
        raise BadInput(
            f"{name}: {total} events, {held_out} of them held out, are too few to train on; "
            "give more data, or change training.validation"
        )
    validation, rows = order[:, :held_out].to(run.device), order[:, held_out:].to(run.device)
    steps = max(1, rows.shape[1] // training.batch)
    work = _Work(model, players, training, members)
    checkpoint = f"{name}.pt"
    if run.unfinished(checkpoint, partial(work.open, device=run.device)) and not work.progress.done:
        run.say(f"{name}: goes on after epoch {work.progress.epoch}")

    progress, averaged = work.progress, work.averaged
    judge = players[0].criterion or players[0].loss
    last_saved = time.monotonic()
    while not progress.done:
        start, cpu_start = time.monotonic(), time.process_time()
        random = torch.Generator(run.device).manual_seed(derived_seed(run.seed, name, "epoch", progress.epoch))
        shuffled = torch.argsort(torch.rand(rows.shape, generator=random, device=run.device), dim=1)
        sums = [torch.zeros((), device=run.device) for _ in players]
        model.train()
        for step in range(steps):
            chosen = rows.gather(1, shuffled[:, step * training.batch : (step + 1) * training.batch])
            batch = Batch(tuple(tensor[chosen] for tensor in tensors), progress.epoch, random)
            work.step(batch, (progress.epoch + step / steps) / training.epochs, sums)

        _check_finite(torch.stack(sums), f"{name}: the loss is not finite in epoch {progress.epoch}")
        curve = {f"loss_{index}": float(value) / steps for index, value in enumerate(sums)}
        if training.patience is not None:
            found = _criterion(averaged.module, judge, tensors, validation, progress.epoch, random, members)
            _check_finite(found, f"{name}: the loss of events held out is not finite after epoch {progress.epoch}")
            curve["validation"] = float(found.mean())
            work.keep_better(found)
        progress.history.append(curve)
        progress.epoch += 1
        waited = progress.epoch - 1 - max(progress.best_epoch)
        progress.done = progress.epoch >= training.epochs or (
            training.patience is not None and waited >= training.patience
        )
        if progress.done:
            work.finish(name)
        progress.seconds += time.monotonic() - start
        progress.cpu_seconds += time.process_time() - cpu_start
        run.epoch(name, progress.epoch, training.epochs, progress.seconds, curve)
        if progress.done or time.monotonic() - last_saved > run.checkpoint_seconds:
            with run.checkpoint(checkpoint) as temporary:
                write_tensors(work.state(), temporary)
            last_saved = time.monotonic()

    model.load_state_dict(work.best)
    model.eval()
    run.fitted(name, progress, events_per_epoch=steps * training.batch * members)
    return progress


class _Work:
    """What changes in the course of a fit, and what a checkpoint of it holds."""

    def __init__(self, model: nn.Module, players: Sequence[Player], training: Training, members: int) -> None:
        self.model, self.players, self.training, self.members = model, players, training, members
        self.averaged = AveragedModel(model, multi_avg_fn=_moving_average(training.ema))
        self.optimizers = [
            torch.optim.AdamW(
                player.parameters,
                lr=training.learning_rate,
                weight_decay=training.weight_decay,
                betas=(training.momentum, 0.999),
                fused=True,
            )
            for player in players
        ]
        self.best = copy.deepcopy(self.averaged.module.state_dict())
        self.progress = Progress(best=[float("inf")] * members, best_epoch=[-1] * members)

    def step(self, batch: Batch, share: float, sums: Sequence[Tensor]) -> None:
        """Step each player on a batch, after a share of the training (0 to 1), and add its loss to its sum."""
        stepped = False
        for player, optimizer, total in zip(self.players, self.optimizers, sums, strict=True):
            with _autocast(total.device, self.training.precision):
                losses = player.loss(self.model, batch)
            if losses is None:
                continue
            for group in optimizer.param_groups:
                group["lr"] = self.training.learning_rate * schedule(self.training.schedule, share)
            # Each player differentiates only with respect to its own parameters.
            gradients = torch.autograd.grad(losses.sum(), list(player.parameters), allow_unused=True)
            for parameter, gradient in zip(player.parameters, gradients, strict=True):
                parameter.grad = gradient
            _clip(player.parameters, self.training.clip, self.members)
            optimizer.step()
            total += losses.detach().mean()
            stepped = True
        if stepped:
            self.averaged.update_parameters(self.model)

    def keep_better(self, found: Tensor) -> None:
        """Keep the weights of the members whose criterion `[members]` is better than ever."""
        progress = self.progress
        better = [new < old for new, old in zip(found.tolist(), progress.best, strict=True)]
        _keep(self.best, self.averaged.module.state_dict(), better)
        for member, is_better in enumerate(better):
            if is_better:
                progress.best[member], progress.best_epoch[member] = found[member].item(), progress.epoch

    def finish(self, name: str) -> None:
        """Settle on the weights that are kept; raises `GateFailed` if they are not finite."""
        if self.training.patience is None:
            self.best = copy.deepcopy(self.averaged.module.state_dict())
            self.progress.best_epoch = [self.progress.epoch - 1] * self.members
        for key, value in self.best.items():
            _check_finite(value, f"{name}: '{key}' is not finite after epoch {self.progress.epoch - 1}")

    def state(self) -> dict[str, Any]:
        """All of it."""
        return {
            "progress": vars(self.progress),
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "best": self.best,
        }

    def open(self, path: Path, device: torch.device) -> bool:
        """Go on from what a checkpoint holds; raises `Damaged`, and changes nothing, if that is of another shape."""
        before = copy.deepcopy(self.state())
        try:
            self._take(read_tensors(path, device))
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            self._take(before)
            raise Damaged(in_one_line(error)) from error
        return True

    def _take(self, state: Mapping[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, each in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(each)
        self.best = state["best"]


def _check_finite(values: Tensor, what: str) -> None:
    if not torch.isfinite(values).all():
        raise GateFailed(f"{what}; lower the learning rate")


def schedule(kind: str, share: float) -> float:
    """The factor on the learning rate after `share` of the training (0 to 1)."""
    if kind == "cosine":  # with a twentieth of warm-up
        warm = min(1.0, share / 0.05 + 1e-2)
        return warm * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * share))))
    if kind == "halving":
        return float(0.5 ** sum(share >= edge for edge in HALVED_AT))
    return 1.0


def _permutation(size: int, seed: int) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def _moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Exponential moving average whose memory grows with the first steps, so that it forgets the random start."""

    def update(averaged: list[Tensor], current: list[Tensor], number: Tensor | int) -> None:
        number = int(number)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + number) / (10 + number)))

    return torch.no_grad()(update)


def _autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _clip(parameters: Sequence[nn.Parameter], limit: float, members: int) -> None:
    """Limit the gradient norm, of each member on its own."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if members == 1:
        nn.utils.clip_grad_norm_(parameters, limit)
        return
    square = torch.stack([gradient.reshape(members, -1).square().sum(1) for gradient in gradients]).sum(0)
    factor = (limit / (square.sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.reshape(-1, *[1] * (gradient.dim() - 1)))


@torch.no_grad()
def _criterion(
    model: nn.Module,
    loss: Loss,
    tensors: Sequence[Tensor],
    validation: Tensor,
    epoch: int,
    random: torch.Generator,
    members: int,
) -> Tensor:
    """The mean loss of each member on its held-out events `[members]`."""
    model.eval()
    total = torch.zeros(members, device=validation.device)
    for start in range(0, validation.shape[1], VALIDATION_ROWS):
        chosen = validation[:, start : start + VALIDATION_ROWS]
        found = loss(model, Batch(tuple(tensor[chosen] for tensor in tensors), epoch, random))
        assert found is not None
        total += found * chosen.shape[1]
    return total / validation.shape[1]


def _keep(best: dict[str, Tensor], current: dict[str, Tensor], better: list[bool]) -> None:
    """Copy the state of the members that got better into `best`."""
    members = len(better)
    for key, value in current.items():
        if members > 1 and value.dim() and value.shape[0] == members:
            for member in range(members):
                if better[member]:
                    best[key][member] = value[member]
        elif any(better):
            best[key] = value.clone()

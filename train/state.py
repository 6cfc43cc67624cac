"""A fit in progress: its steps, its looks at the held-out events, and the state that a checkpoint holds."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sideband.infer.errors import GateFailed, in_one_line
from sideband.train.files import Damaged, read_tensors
from sideband.train.optimise import clip, keep_members, moving_average, schedule
from sideband.train.run import Progress
from sideband.train.training import Batch, Player, Prepare, Training

VALIDATION_ROWS = 20_000  # evaluated at once, for bounded memory

# A look finds a gain where the criterion falls by this part of all that it has fallen by. Without such a limit,
# averaged weights creep on for ever.
LEAST_GAIN = 3e-4


class FitState:
    """Everything that changes during a fit, and that its checkpoint therefore holds; arguments as those of `fit`."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        players: Sequence[Player],
        prepare: Prepare | None,
        training: Training,
        members: int,
        device: torch.device,
    ) -> None:
        self.name, self.model, self.players, self.prepare = name, model, players, prepare
        self.training, self.members, self.device = training, members, device
        self.averaged = AveragedModel(model, multi_avg_fn=moving_average(training.ema))
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
        never = [float("inf")] * members
        self.progress = Progress(best=never, best_step=[0] * members)
        if players[0].halves:
            self.progress.least, self.progress.crossed = [[*never], [*never]], [[*never], [*never]]

    def batch(self, rows: Tensor) -> int:
        """Events of a step for each member: no more than there are in `rows` `[members, …]`."""
        return min(self.training.batch, rows.shape[1])

    def train(self, tensors: Sequence[Tensor], rows: Tensor, random: torch.Generator) -> dict[str, float]:
        """Train up to the next look on `rows` `[members, …]` of the tensors; returns the mean loss of each player."""
        training, first = self.training, self.progress.step
        steps, size = min(training.interval, training.steps - first), self.batch(rows)
        sums = [torch.zeros((), device=self.device) for _ in self.players]
        self.model.train()
        order = self._order(rows, steps * size, random)
        for step in range(steps):
            chosen = order[:, step * size : (step + 1) * size]
            losses = self._step(Batch(tuple(tensor[chosen] for tensor in tensors), first + step, random))
            for total, loss in zip(sums, losses, strict=True):
                if loss is not None:
                    total += loss.mean()
        self.progress.step += steps
        self._check_finite(torch.stack(sums), f"the loss is not finite within {self.progress.step} steps")
        return {f"loss_{index}": float(value) / steps for index, value in enumerate(sums)}

    def _order(self, rows: Tensor, number: int, random: torch.Generator) -> Tensor:
        """So many of the rows, `[members, number]`: one permutation of them after the other."""
        parts = [
            rows.gather(1, torch.argsort(torch.rand(rows.shape, generator=random, device=self.device), dim=1))
            for _ in range(-(-number // rows.shape[1]))
        ]
        return torch.cat(parts, 1)[:, :number]

    def _step(self, batch: Batch) -> tuple[Tensor | None, ...]:
        """Step the players in turn; returns their losses `[members]`."""
        training = self.training
        factor = schedule(training.schedule, batch.step / training.steps, self.progress.drops)
        with self._autocast():
            batch = self._prepared(self.model, batch)
        for player, optimizer in zip(self.players, self.optimizers, strict=True):
            with self._autocast():
                loss = player.loss(self.model, batch)
            batch = replace(batch, losses=(*batch.losses, None if loss is None else loss.detach()))
            if loss is None:
                continue
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * factor
            # Each player differentiates only with respect to its own parameters.
            gradients = torch.autograd.grad(loss.sum(), list(player.parameters), allow_unused=True)
            for parameter, gradient in zip(player.parameters, gradients, strict=True):
                parameter.grad = gradient
            clip(player.parameters, training.clip, self.members)
            optimizer.step()
        if any(loss is not None for loss in batch.losses):
            self.averaged.update_parameters(self.model)
        return batch.losses

    def _prepared(self, model: nn.Module, batch: Batch) -> Batch:
        return batch if self.prepare is None else replace(batch, prepared=self.prepare(model, batch))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.precision == "bfloat16")

    @torch.no_grad()
    def validate(self, tensors: Sequence[Tensor], held_out: Tensor, random: torch.Generator) -> float:
        """The mean criterion on the held-out rows `[members, …]`; members that are better than ever are kept."""
        progress, model = self.progress, self.averaged.module
        model.eval()
        parts = torch.tensor_split(held_out, 2 if self.players[0].halves else 1, dim=1)
        found = torch.stack([self._judged(model, tensors, part, random) for part in parts])
        criterion = found.sum(0) / held_out.shape[1]
        self._check_finite(criterion, f"the loss on the held-out events is not finite after {progress.step} steps")
        better = [new < old for new, old in zip(criterion.tolist(), progress.best, strict=True)]
        keep_members(self.best, model.state_dict(), better)
        for member, is_better in enumerate(better):
            if is_better:
                progress.best[member], progress.best_step[member] = criterion[member].item(), progress.step
        if self.players[0].halves:
            for half, (own, other) in enumerate(zip(found.tolist(), found.flip(0).tolist(), strict=True)):
                progress.cross(half, own, other)
        return float(criterion.mean())

    def _judged(self, model: nn.Module, tensors: Sequence[Tensor], rows: Tensor, random: torch.Generator) -> Tensor:
        """The criterion of each member `[members]`, summed over rows `[members, …]`."""
        judge, total = self.players[0].criterion or self.players[0].loss, torch.zeros(self.members, device=self.device)
        for chosen in torch.split(rows, rows.shape[1] if self.players[0].whole else VALIDATION_ROWS, dim=1):
            batch = Batch(tuple(tensor[chosen] for tensor in tensors), self.progress.step, random)
            found = judge(model, self._prepared(model, batch))
            assert found is not None
            total += found * chosen.shape[1]
        return total

    def end_look(self, curve: dict[str, float]) -> None:
        """See whether training is over; then settle on the weights to keep, or raise `GateFailed`."""
        progress, training = self.progress, self.training
        progress.history.append(curve)
        if training.patience is not None:
            self._wait(curve["validation"], training.patience)
        if progress.step >= training.steps:
            progress.done = True
        if not progress.done:
            return
        if training.patience is None:
            self.best = copy.deepcopy(self.averaged.module.state_dict())
            progress.best_step = [progress.step] * self.members
        else:
            progress.converged = progress.waited >= training.patience
        for key, value in self.best.items():
            self._check_finite(value, f"'{key}' is not finite after {progress.step} steps")

    def _wait(self, criterion: float, patience: int) -> None:
        """Count the looks without a gain; a plateau goes back to the best weights at a lower rate, or ends training."""
        progress = self.progress
        if criterion < progress.lowest - LEAST_GAIN * (progress.first - progress.lowest):
            progress.lowest, progress.waited = criterion, 0
            return
        progress.waited += 1
        if progress.waited < patience:
            return
        if self.training.schedule == "plateau" and progress.drops < self.training.drops:
            progress.drops, progress.waited = progress.drops + 1, 0
            self.model.load_state_dict(self.best)  # what came after may have learnt the events by heart
            self.averaged.module.load_state_dict(self.best)
        else:
            progress.done = True

    def _check_finite(self, values: Tensor, problem: str) -> None:
        if not torch.isfinite(values).all():
            raise GateFailed(f"{self.name}: {problem}; lower the learning rate")

    def content(self) -> dict[str, Any]:
        """The content of a checkpoint."""
        return {
            "progress": vars(self.progress),
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "best": self.best,
        }

    def open(self, path: Path) -> bool:
        """Resume from a checkpoint; if it does not fit this model, change nothing and raise `Damaged`."""
        before = copy.deepcopy(self.content())
        try:
            self._take(read_tensors(path, self.device))
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

"""A fit in progress: its epochs, its steps, and the state that a checkpoint holds."""

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
        self.progress = Progress(best=[float("inf")] * members, best_epoch=[-1] * members)

    def steps(self, rows: Tensor) -> int:
        """Steps in an epoch of `rows` `[members, …]`; events that do not fill a batch wait for another permutation."""
        return max(1, rows.shape[1] // self.training.batch)

    def train(self, tensors: Sequence[Tensor], rows: Tensor, random: torch.Generator) -> dict[str, float]:
        """Train for one epoch on `rows` `[members, …]` of the tensors; returns the mean loss of each player."""
        training, epoch, steps = self.training, self.progress.epoch, self.steps(rows)
        shuffled = torch.argsort(torch.rand(rows.shape, generator=random, device=self.device), dim=1)
        sums = [torch.zeros((), device=self.device) for _ in self.players]
        self.model.train()
        for step in range(steps):
            chosen = rows.gather(1, shuffled[:, step * training.batch : (step + 1) * training.batch])
            share = (epoch + step / steps) / training.epochs
            losses = self._step(Batch(tuple(tensor[chosen] for tensor in tensors), epoch, random), share)
            for total, loss in zip(sums, losses, strict=True):
                if loss is not None:
                    total += loss.mean()
        self._check_finite(torch.stack(sums), f"the loss is not finite in epoch {epoch}")
        return {f"loss_{index}": float(value) / steps for index, value in enumerate(sums)}

    def _step(self, batch: Batch, share: float) -> tuple[Tensor | None, ...]:
        """Step the players in turn after `share` of the training; returns their losses `[members]`."""
        with self._autocast():
            batch = self._prepared(self.model, batch)
        for player, optimizer in zip(self.players, self.optimizers, strict=True):
            with self._autocast():
                loss = player.loss(self.model, batch)
            batch = replace(batch, losses=(*batch.losses, None if loss is None else loss.detach()))
            if loss is None:
                continue
            for group in optimizer.param_groups:
                group["lr"] = self.training.learning_rate * schedule(self.training.schedule, share)
            # Each player differentiates only with respect to its own parameters.
            gradients = torch.autograd.grad(loss.sum(), list(player.parameters), allow_unused=True)
            for parameter, gradient in zip(player.parameters, gradients, strict=True):
                parameter.grad = gradient
            clip(player.parameters, self.training.clip, self.members)
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
        judge = self.players[0].criterion or self.players[0].loss
        model.eval()
        total = torch.zeros(self.members, device=self.device)
        for chosen in torch.split(held_out, VALIDATION_ROWS, dim=1):
            batch = Batch(tuple(tensor[chosen] for tensor in tensors), progress.epoch, random)
            found = judge(model, self._prepared(model, batch))
            assert found is not None
            total += found * chosen.shape[1]
        criterion = total / held_out.shape[1]
        self._check_finite(criterion, f"the loss on the held-out events is not finite after epoch {progress.epoch}")
        better = [new < old for new, old in zip(criterion.tolist(), progress.best, strict=True)]
        keep_members(self.best, model.state_dict(), better)
        for member, is_better in enumerate(better):
            if is_better:
                progress.best[member], progress.best_epoch[member] = criterion[member].item(), progress.epoch
        return float(criterion.mean())

    def end_epoch(self, curve: dict[str, float]) -> None:
        """Count an epoch; after the last one, settle on the weights to keep, or raise `GateFailed`."""
        progress, patience = self.progress, self.training.patience
        waited = progress.epoch - max(progress.best_epoch)
        progress.history.append(curve)
        progress.epoch += 1
        progress.done = progress.epoch >= self.training.epochs or (patience is not None and waited >= patience)
        if not progress.done:
            return
        if patience is None:
            self.best = copy.deepcopy(self.averaged.module.state_dict())
            progress.best_epoch = [progress.epoch - 1] * self.members
        for key, value in self.best.items():
            self._check_finite(value, f"'{key}' is not finite after epoch {progress.epoch - 1}")

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

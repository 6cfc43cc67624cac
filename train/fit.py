"""The one training loop: every model of every method is fitted here.

All events stay on the device. Training is counted in steps and goes from one look at the held-out events to the next.
Everything random in between follows from (seed, name, step), so on the CPU a fit that was killed and resumed gives
bitwise the result of an unbroken one.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sideband.infer.errors import BadInput
from sideband.train.files import write_tensors
from sideband.train.run import Progress, Run, derived_seed
from sideband.train.state import FitState
from sideband.train.training import Batch, Loss, Player, Prepare, Training, spread_out

# At a look; of more events, looks take longer than the steps between them, and tell nothing new.
MOST_HELD_OUT = 100_000

__all__ = ["Batch", "Loss", "Player", "Prepare", "Training", "fit", "spread_out"]


def fit(
    name: str,
    model: nn.Module,
    players: Sequence[Player],
    tensors: Sequence[Tensor],
    training: Training,
    run: Run,
    members: int = 1,
    prepare: Prepare | None = None,
) -> Progress:
    """Train `model` in place; it ends with the averaged weights of each member's best look.

    Args:
        name: name of the fit within the run, for its checkpoint, its curves and its random numbers.
        model: on `run.device`. With several members, the first axis of every parameter counts them.
        players: stepped in turn on every batch. The first one's criterion on the held-out events tells a plateau,
            unless `training.patience` is None.
        tensors: `[events, …]` each, on the device.
        training: settings.
        run: seed, device, checkpoints, record.
        members: independent models trained together, each with its own split and order of the events.
        prepare: computes once for each batch what its players share, before any of them steps.

    Returns:
        Steps, times, losses, the best look of each member, and whether the training converged.

    Raises:
        BadInput: too few events.
        GateFailed: a loss or a weight is not finite.
    """
    rows, held_out = _split(name, len(tensors[0]), training, run, members)
    state = FitState(name, model, players, prepare, training, members, run.device)
    if run.unfinished(f"{name}.pt", state.open) and not state.progress.done:
        run.say(f"{name}: resumes after step {state.progress.step}")
    progress, last_saved = state.progress, time.monotonic()

    def look() -> float:
        # The same random numbers at every look, or a noisy loss would hide small gains.
        return state.validate(tensors, held_out, _random(run, name, "look"))

    if training.patience is not None and not progress.step:
        progress.first = progress.lowest = look()
    while not progress.done:
        start, cpu_start = time.monotonic(), time.process_time()
        curve = state.train(tensors, rows, _random(run, name, "step", progress.step))
        if training.patience is not None:
            curve["validation"] = look()
        state.end_look(curve)
        progress.seconds += time.monotonic() - start
        progress.cpu_seconds += time.process_time() - cpu_start
        run.look(name, progress.step, training.steps, progress.seconds, curve)
        run.keep(name, model, state.best)
        if progress.done or time.monotonic() - last_saved > run.checkpoint_seconds:
            with run.checkpoint(f"{name}.pt") as temporary:
                write_tensors(state.content(), temporary)
            last_saved = time.monotonic()
    model.load_state_dict(state.best)
    model.eval()
    run.fitted(name, progress, events_per_step=state.batch(rows) * members)
    return progress


def _random(run: Run, name: str, *purpose: object) -> torch.Generator:
    return torch.Generator(run.device).manual_seed(derived_seed(run.seed, name, *purpose))


def _split(name: str, total: int, training: Training, run: Run, members: int) -> tuple[Tensor, Tensor]:
    """Row numbers of the events to train on and of those to look at, `[members, …]` each, on the device."""
    held_out = round(total * training.validation)
    if total - held_out < 2 or (training.patience is not None and not held_out):
        raise BadInput(
            f"{name}: {total} events, {held_out} of them held out, are too few to train on; "
            "give more data, or change training.validation"
        )
    seeds = [derived_seed(run.seed, name, "split", member) for member in range(members)]
    order = torch.stack([torch.randperm(total, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    return order[:, held_out:].to(run.device), order[:, : min(held_out, MOST_HELD_OUT)].to(run.device)

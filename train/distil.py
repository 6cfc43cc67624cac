"""Distillation: a small network learns what a slow generator makes of its noise, to make it in one step.

The slow generator carries each noise to one event and draws nothing on the way, so this is regression. To learn a
sampler's own pairs of noise and event is E. Luhman & T. Luhman, arXiv:2101.02388, and the distillation of rectified
flow, arXiv:2209.03003.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from sideband.train.fit import Batch, Player, Training, fit
from sideband.train.nets.velocity import NetSettings
from sideband.train.parts import in_parts
from sideband.train.run import Run

NET = NetSettings(hidden=96, blocks=2)  # of a student: ours
TRAINING = Training(batch=1024, learning_rate=4e-3, patience=3, drops=3, ema=0.99)  # of a student: ours
ROWS = 2000  # carried at once: what stays in a processor's cache is carried fastest


def taught(teacher: Callable[..., Tensor], given: Sequence[Tensor], name: str, run: Run) -> Tensor:
    """What a slow generator makes of inputs `[N, …]`, without gradients: `[N, d]`."""
    run.say(f"{name}: the slow generator carries {len(given[0]):,} events to learn from")
    return in_parts(teacher, given, ROWS)


def distil(
    name: str,
    student: nn.Module,
    network: nn.Module,
    leapt: Callable[..., Tensor],
    given: Sequence[Tensor],
    made: Tensor,
    training: Training,
    run: Run,
) -> None:
    """Train `network` by the mean squared difference from what the slow generator made.

    Args:
        name: name of the fit within the run.
        student: the module that is trained, on the device; only its part `network` moves.
        network: that part.
        leapt: from the student and inputs `[N, …]` to its events `[N, d]`.
        given: inputs `[N, …]`.
        made: what they become `[N, d]`.
        training: settings.
        run: seed, device, checkpoints, record.
    """

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        *inputs, target = (rows[0] for rows in batch.rows)
        return (leapt(model, *inputs) - target).square().mean()[None]

    fit(name, student, [Player(list(network.parameters()), loss)], [*given, made], training, run)

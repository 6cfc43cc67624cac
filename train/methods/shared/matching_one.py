"""The flow-matching model of SIGMA (arXiv:2410.20537), distilled to one step (arXiv:2101.02388) for all windows.

The teacher is the interpolated model, v^int in its context. Like it, the student serves every window: it learns anchors
anywhere in the mass range, near to each other and far apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.distil import NET, TRAINING, distil, taught
from sideband.train.fit import Training
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.velocity import FlowMatching, NetSettings, shares
from sideband.train.run import Run, derived_seed
from sideband.train.settings import Count, Range, Share, Steps


@dataclass(frozen=True)
class Settings:
    """The student, what it learns from, and its training. All values are ours."""

    net: NetSettings = NET
    mass_frequencies: Annotated[int, Range(0, 16)] = 9  # as in the teacher
    steps: Steps = 8  # of the teacher's midpoint rule
    pairs: Count = 200_000  # of noise and event
    nearest: Share = 0.05  # least distance of two anchors, as a share of the mass range
    farthest: Share = 0.6  # and the largest
    training: Training = TRAINING

    def __post_init__(self) -> None:
        if not 0 < self.nearest < self.farthest:
            raise ValueError("nearest must be above 0 and below farthest; give two shares of the mass range")

    def flow(self, features: int) -> FlowMatching:
        """The student, untrained."""
        return FlowMatching(features, self.net, 1, self.mass_frequencies)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The student."""
    return {"flow": settings.flow(features)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Learn what the teacher makes of noise, at masses between two anchors; no event is read."""
    teacher = needs["matching"].modules["flow"]
    assert isinstance(teacher, FlowMatching)
    teacher.to(run.device)
    run.seeded("matching_one")
    student = settings.flow(len(task.features))
    student.marginals.load_state_dict(teacher.marginals.state_dict())
    student.mass.load_state_dict(teacher.mass.state_dict())
    given = [tensor.to(run.device) for tensor in drawn(task, settings, run)]

    def carried(noise: Tensor, mass: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return teacher.carried(noise, teacher.contexts((low, high), shares(mass, low, high)), settings.steps)

    def leapt(student: FlowMatching, noise: Tensor, mass: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return student.leapt(noise, student.contexts((low, high), shares(mass, low, high)))

    made = taught(carried, given, "matching_one", run)
    distil("matching_one", student.to(run.device), student.net, leapt, given, made, settings.training, run)
    return Fitted({"flow": student})


def drawn(task: Task, settings: Settings, run: Run) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noise `[N, d]`, and masses, low and high anchors `[N, 1]`."""
    random = torch.Generator().manual_seed(derived_seed(run.seed, "pairs"))
    first, last = task.mass_range
    share = torch.rand(3, settings.pairs, 1, generator=random)
    distance = (last - first) * settings.nearest * (settings.farthest / settings.nearest) ** share[0]
    low = first + (last - first - distance) * share[1]
    noise = torch.randn(settings.pairs, len(task.features), generator=random)
    return noise, low + distance * share[2], low, low + distance

"""The diffusion model of DRAPES (arXiv:2312.10130), distilled to one step (arXiv:2101.02388).

The student learns two starts at once: pure noise, and sideband events with the noise σ′ on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.distil import NET, TRAINING, distil, taught
from sideband.train.fit import Training
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.diffusion import LEAST, MOST, Denoiser, ladder
from sideband.train.nets.velocity import NetSettings
from sideband.train.parts import in_parts
from sideband.train.run import Run, derived_seed
from sideband.train.settings import Count, Range, Steps


@dataclass(frozen=True)
class Settings:
    """The student, what it learns from, and its training. All values but σ′ are ours."""

    net: NetSettings = NET
    noise: Annotated[float, Range(LEAST, MOST, above=True)] = 2.24  # σ′ of DRAPES
    steps: Steps = 32  # levels of the teacher's whole ladder
    pairs: Count = 100_000  # of noisy and clean event, for each start
    training: Training = TRAINING


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The student."""
    return {"denoiser": Denoiser(features, settings.net)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Learn what the teacher makes of noise and of noisy sideband events, at masses of the window."""
    teacher = needs["diffusion"].modules["denoiser"]
    assert isinstance(teacher, Denoiser)
    teacher.to(run.device)
    run.seeded("diffusion_one")
    student = Denoiser(len(task.features), settings.net)
    student.marginals.load_state_dict(teacher.marginals.state_dict())
    student.mass.load_state_dict(teacher.mass.state_dict())

    inputs, made = [], []
    for most, x in ((MOST, None), (settings.noise, normal_sidebands(task, teacher, settings, run))):
        noise, mass = _drawn(task, settings, run, most)
        levels = ladder(settings.steps, most).float().to(run.device)
        noisy = levels[0] * noise if x is None else x + levels[0] * noise
        made.append(taught(partial(teacher.carried, levels=levels), [noisy, mass], "diffusion_one", run))
        inputs.append((noisy, levels[:1, None].expand(len(mass), 1), mass))
    given = [torch.cat(each) for each in zip(*inputs, strict=True)]
    student.to(run.device)
    distil("diffusion_one", student, student.net, Denoiser.leapt, given, torch.cat(made), settings.training, run)
    return Fitted({"denoiser": student})


def _drawn(task: Task, settings: Settings, run: Run, level: float) -> tuple[Tensor, Tensor]:
    """Noise `[N, d]` and masses `[N, 1]` of the window for one start, on the device."""
    random = torch.Generator().manual_seed(derived_seed(run.seed, "pairs", level))
    low, high = task.window
    noise = torch.randn(settings.pairs, len(task.features), generator=random)
    mass = low + (high - low) * torch.rand(settings.pairs, 1, generator=random)
    return noise.to(run.device), mass.to(run.device)


def normal_sidebands(task: Task, teacher: Denoiser, settings: Settings, run: Run) -> Tensor:
    """Normal features `[N, d]` of sideband events, taken in turn, on the device."""
    data = task.events("data")
    sidebands = data[~task.inside(data)]
    given = [torch.from_numpy(each).to(run.device) for each in (sidebands.features, sidebands.mass[:, None])]
    normal = in_parts(lambda features, mass: teacher.marginals(features, teacher.shape(mass))[0], given)
    random = torch.Generator().manual_seed(derived_seed(run.seed, "sources"))
    order = torch.randperm(len(normal), generator=random).to(run.device)
    return normal[order[torch.arange(settings.pairs, device=run.device) % len(normal)]]

"""DRAPES in one step: the diffusion model of DRAPES (arXiv:2312.10130), distilled, cleans an event in one evaluation.

The distillation (arXiv:2101.02388) is ours. Two starts, as in DRAPES: pure noise (Φ), and sideband events (SB).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.inputs import Drawn, Rows
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.diffusion import MOST, Denoiser
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """What a template starts from."""

    start: Literal["noise", "sideband"] = "noise"  # the noise on sideband events is the student's


class FromNoise(nn.Module):
    """Background events: noise `[N, d]` and mass `[N, 1]` → features `[N, d]`."""

    def __init__(self, denoiser: Denoiser, level: float) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.level: Tensor
        self.register_buffer("level", torch.tensor([[level]]), persistent=False)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Clean pure noise at the given masses."""
        return self.cleaned(self.level * noise, condition)

    def cleaned(self, noisy: Tensor, condition: Tensor) -> Tensor:
        """Features `[N, d]` from noisy normal ones `[N, d]`."""
        return self.denoiser.physical(self.denoiser.leapt(noisy, self.level, condition), condition)


class FromEvents(FromNoise):
    """Background events: noise and sideband events `[N, d]`, masses of both `[N, 1]` → features `[N, d]`."""

    def __init__(self, denoiser: Denoiser, level: float) -> None:
        super().__init__(denoiser, level)
        rows = Rows("data", "sidebands", "turn")  # copies would be seen through little noise
        self.drawn: dict[str, Drawn] = {"source": rows, "source_condition": rows}

    def forward(  # type: ignore[override]
        self, noise: Tensor, condition: Tensor, source: Tensor, source_condition: Tensor
    ) -> Tensor:
        """Noise the sideband events, clean them at the given masses."""
        x, _ = self.denoiser.marginals(source, self.denoiser.shape(source_condition))
        return self.cleaned(x + self.level * noise, condition)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    shape = needs["diffusion_one"]
    return _modules(settings, Denoiser(features, shape.net), shape)


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier."""
    shared = needs["diffusion_one"]
    denoiser = shared.modules["denoiser"]
    assert isinstance(denoiser, Denoiser)
    return Fitted(_modules(settings, denoiser, shared.settings))


def _modules(settings: Settings, denoiser: Denoiser, student: Any) -> dict[str, nn.Module]:
    if settings.start == "noise":
        return {"template": FromNoise(denoiser, MOST)}
    return {"template": FromEvents(denoiser, student.noise)}

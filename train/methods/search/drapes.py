"""DRAPES: a diffusion model of the sidebands denoises partly noised events to a template at signal-region masses.

D. Sengupta, M. Leigh, J. A. Raine, S. Klein, T. Golling, "Improving new physics searches with diffusion models for
event observables and jet constituents", arXiv:2312.10130. Four starts: pure noise (the paper's Φ), sideband events
given new masses (SB), the signal region's own events at their own masses (SR), simulated background (MC).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.inputs import Drawn, Rows
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.diffusion import LEAST, MOST, Denoiser, ladder
from sideband.train.run import Run
from sideband.train.settings import Range, Steps

Noise = Annotated[float, Range(LEAST, MOST, above=True)]  # that the model was trained with


@dataclass(frozen=True)
class Settings:
    """What a template starts from, the noise it gets, and the levels of the whole ladder."""

    start: Literal["noise", "sideband", "signal region", "simulation"] = "noise"
    noise: Noise = 2.24  # σ′, in deviations of the data; the paper's. Pure noise starts from 80.
    steps: Steps = 32  # levels from 80 down; a start from less noise takes those below it


class FromNoise(nn.Module):
    """Background events: noise `[N, d]` and mass `[N, 1]` → features `[N, d]`."""

    def __init__(self, denoiser: Denoiser, levels: Tensor) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.levels: Tensor
        self.register_buffer("levels", levels.float(), persistent=False)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Denoise pure noise at the given masses."""
        return self.denoiser.sample(self.levels[0] * noise, condition, self.levels)


class FromEvents(FromNoise):
    """Background events: noise and source events `[N, d]`, masses of both `[N, 1]` → features `[N, d]`.

    Events of the signal region keep their own masses.
    """

    def __init__(
        self, denoiser: Denoiser, levels: Tensor, start: Literal["sideband", "signal region", "simulation"]
    ) -> None:
        super().__init__(denoiser, levels)
        rows = {
            "sideband": Rows("data", "sidebands", "turn"),  # copies would be seen through little noise
            "signal region": Rows("data", "signal region"),
            "simulation": Rows("simulation"),
        }[start]
        self.drawn: dict[str, Drawn] = {"source": rows, "source_condition": rows}
        if start == "signal region":
            self.drawn["condition"] = rows

    def forward(  # type: ignore[override]
        self, noise: Tensor, condition: Tensor, source: Tensor, source_condition: Tensor
    ) -> Tensor:
        """Noise the source events, denoise them at the given masses."""
        x, _ = self.denoiser.marginals(source, self.denoiser.shape(source_condition))
        return self.denoiser.sample(x + self.levels[0] * noise, condition, self.levels)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return _modules(settings, Denoiser(features, needs["diffusion"].net))


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier."""
    denoiser = needs["diffusion"].modules["denoiser"]
    assert isinstance(denoiser, Denoiser)
    return Fitted(_modules(settings, denoiser))


def _modules(settings: Settings, denoiser: Denoiser) -> dict[str, nn.Module]:
    if settings.start == "noise":
        return {"template": FromNoise(denoiser, ladder(settings.steps))}
    return {"template": FromEvents(denoiser, ladder(settings.steps, settings.noise), settings.start)}

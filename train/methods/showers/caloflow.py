"""CaloFlow as an anomaly detector: its likelihood flags anything that is not a single photon.

C. Krause et al., "Anomaly detection with flow-based fast calorimeter simulators", arXiv:2312.11618. The generator is a
fast simulator of photons; its likelihood tags χ → γγ without having seen any. There are five scores. "one-sided" is
-log p, as in the paper. "logits" is that of the same density in the coordinates of the paper's code, where light χ
inside the calorimeter are unlikely; in ours they are not. "two-sided" is the distance of log p, up or down, from
typical photons of the same energy, because two soft photons can be likelier than one hard photon. "layers" and "voxels"
are -log p of one flow alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.simulate.showers.geometry import THRESHOLD
from sideband.infer.meaning import SURPRISE, Meaning
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower import LAYER_INPUTS, ShowerFlow
from sideband.train.nets.shower_logits import log_logits
from sideband.train.run import Run

DISTANCE = Meaning("distance of log p from that of photons, in standard deviations, not a probability", 0.0)
Kind = Literal["one-sided", "logits", "two-sided", "layers", "voxels"]


@dataclass(frozen=True)
class Settings:
    """The choice of the score."""

    score: Kind = "one-sided"  # the paper's; the other ones are ours


class Generator(nn.Module):
    """Photon showers: noise `[N, 507]` and incident energies `[N, 1]` in GeV → voxels `[N, 504]` in MeV."""

    resolution = THRESHOLD  # MeV: rounding may move a voxel by this much; voxels below it count as empty

    def __init__(self, flow: ShowerFlow, features: int) -> None:
        super().__init__()
        self.flow = flow
        self.noise_columns = features + LAYER_INPUTS

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Sample at the given energies."""
        return self.flow.sample(noise, condition[:, 0])


class Density(nn.Module):
    """log p(shower | incident energy) `[N, 1]`, of voxels `[N, 504]` in MeV and energies `[N, 1]` in GeV."""

    def __init__(self, flow: ShowerFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Add the log-densities of both flows."""
        layers, voxels, _ = self.flow.log_parts(features, condition[:, 0])
        return (layers + voxels)[:, None]


class Score(nn.Module):
    """An anomaly score `[N, 1]` of voxels `[N, 504]` in MeV; the incident energy is reconstructed from them."""

    def __init__(self, flow: ShowerFlow, kind: Kind) -> None:
        super().__init__()
        self.flow, self.kind = flow, kind
        self.meaning = DISTANCE if kind == "two-sided" else SURPRISE
        # In standard deviations: rounding of 504 terms in float32 is not small against one of them.
        self.resolution = 1e-3 if kind == "two-sided" else 0.0

    def forward(self, features: Tensor) -> Tensor:
        """The score."""
        if self.kind == "logits":
            layers, voxels, _ = log_logits(self.flow, features)
            return -(layers + voxels)[:, None]
        layers, voxels, energy = self.flow.log_parts(features)
        if self.kind == "two-sided":
            return self.flow.standardised(layers + voxels, energy).abs()[:, None]
        parts = {"one-sided": layers + voxels, "layers": layers, "voxels": voxels}
        return -parts[self.kind][:, None]


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Generator, density and score; for the variants only the score."""
    return _modules(settings, ShowerFlow(needs["shower_flow"].flow), features)


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Take the shared flows; there is nothing left to fit."""
    flow = needs["shower_flow"].modules["flow"]
    assert isinstance(flow, ShowerFlow)
    return Fitted(_modules(settings, flow, task.width))


def _modules(settings: Settings, flow: ShowerFlow, features: int) -> dict[str, nn.Module]:
    score = Score(flow, settings.score)
    if settings.score != "one-sided":
        return {"score": score}
    return {"template": Generator(flow, features), "score": score, "density": Density(flow)}

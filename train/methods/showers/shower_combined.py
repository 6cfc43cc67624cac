"""The likelihood combined with the supervised classifier, from which arXiv:2312.11618 expects the best of both.

Each score becomes the probability p that a photon scores at least as high. Fisher's method combines the two: the score
is the sum of -ln p. This needs no signal beyond what the classifier was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.meaning import Meaning
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower import ROWS, ShowerFlow
from sideband.train.nets.shower_classifier import ShowerClassifier
from sideband.train.run import Run

PHOTONS = 20_000  # at most, for measuring the probabilities
KNOTS = 41  # evenly in -ln p, from 0 to where ten photons are left


@dataclass(frozen=True)
class Settings:
    """There are none: both parts are shared fits."""


class Surprise(nn.Module):
    """-ln of the share of photons that score at least as high, `[N]` of scores `[N]`; linear beyond the last knot."""

    def __init__(self) -> None:
        super().__init__()
        self.values: Tensor
        self.surprise: Tensor
        self.register_buffer("values", torch.linspace(0, 1, KNOTS))
        self.register_buffer("surprise", torch.linspace(0, 1, KNOTS))

    def fit(self, scores: Tensor) -> None:
        """Measure the quantiles of the photons' scores `[N]`."""
        last = max(1.0, float(np.log(len(scores) / 10)))
        surprise = torch.linspace(0, last, KNOTS, dtype=torch.float64)
        values = torch.quantile(scores.double().cpu(), 1 - torch.exp(-surprise))
        least = 1e-6 * float(values[-1] - values[0]) + 1e-12
        rise = values.diff().clamp_min(least)
        self.values.copy_(torch.cat([values[:1], values[:1] + rise.cumsum(0)]))
        self.surprise.copy_(surprise)

    def forward(self, scores: Tensor) -> Tensor:
        """Add up the linear pieces below each score, the last one without an end."""
        low, high = self.values[:-1], self.values[1:]
        slope = (self.surprise[1:] - self.surprise[:-1]) / (high - low)
        part = torch.minimum(torch.maximum(scores[:, None], low), high) - low
        beyond = torch.relu(scores - self.values[-1]) * slope[-1]
        return (part * slope).sum(1) + beyond


class Score(nn.Module):
    """Fisher's combination `[N, 1]` for voxels `[N, 504]` in MeV."""

    meaning = Meaning("Fisher's sum of -ln p, not a probability", 0.0)
    resolution = 1e-3  # in -ln p: the rounding of a likelihood with 504 terms in float32

    def __init__(self, flow: ShowerFlow, classifier: ShowerClassifier) -> None:
        super().__init__()
        self.flow, self.classifier = flow, classifier
        self.likelihood, self.supervised = Surprise(), Surprise()

    def parts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """-log p and the classifier's logit, `[N]` each."""
        layers, voxels, _ = self.flow.log_parts(features)
        return -layers - voxels, self.classifier(features)

    def forward(self, features: Tensor) -> Tensor:
        """The score."""
        unlikely, logit = self.parts(features)
        return (self.likelihood(unlikely) + self.supervised(logit))[:, None]


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score."""
    return {"score": Score(ShowerFlow(needs["shower_flow"].flow), ShowerClassifier(needs["shower_classifier"].network))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Measure the scores of photons."""
    flow, classifier = needs["shower_flow"].modules["flow"], needs["shower_classifier"].modules["classifier"]
    assert isinstance(flow, ShowerFlow)
    assert isinstance(classifier, ShowerClassifier)
    score = Score(flow, classifier).to(run.device)
    photons = torch.from_numpy(task.events("data").features[-PHOTONS:]).to(run.device)
    with torch.no_grad():
        parts = [score.parts(rows) for rows in torch.split(photons, ROWS)]
    for surprise, scores in zip((score.likelihood, score.supervised), zip(*parts, strict=True), strict=True):
        surprise.fit(torch.cat(scores))
    return Fitted({"score": score})

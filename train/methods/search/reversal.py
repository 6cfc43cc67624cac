"""Gradient reversal: a classifier that is trained not to know the mass, so that a cut does not shape its spectrum.

The third answer to sculpting, beside the latent spaces of LaCATHODE (arXiv:2210.14924) and LaTRANSIT. A trunk feeds two
heads. One separates the window's data from CATHODE's template, the other estimates the mass of data of all masses. The
gradient of the mass head is reversed (arXiv:1409.7495) before it enters the trunk, which so unlearns the mass. Networks
and loss are those of public code by M. Hein and others, whose paper has no arXiv number yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sideband.benchmarks.events.task import Task
from sideband.infer.meaning import PROBABILITY
from sideband.train import template
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, DensitySampler, StackedLinear
from sideband.train.nets.preprocessing import LogitStandardise
from sideband.train.nets.reversal import reversed_gradient
from sideband.train.run import Run
from sideband.train.settings import Members, Range, Width


@dataclass(frozen=True)
class Settings:
    """Authors' code where not marked as ours."""

    strength: Annotated[float, Range(0, 1e6)] = 2.0  # λ, weight of the mass's loss: authors' code scans 1.2 to 5
    hidden: Width = 64  # units of each layer, two in the trunk and one in each head: authors' code
    members: Members = 5  # networks whose scores are averaged: authors' code
    # Authors' code trains for 100 epochs of batches of 128. No loss of an adversarial fit tells when to stop, and their
    # choice of the epoch reads the truth. So all steps are run; their number, batch and schedule are ours.
    training: Training = field(
        default_factory=lambda: Training(6000, batch=512, learning_rate=1e-3, schedule="cosine", patience=None)
    )


class Score(nn.Module):
    """Trunk and class head of every member: features `[N, d]` in physical units → mean probability `[N, 1]`."""

    meaning = PROBABILITY

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.preprocess = LogitStandardise(features)
        sizes = (features, settings.hidden, settings.hidden)
        self.trunk = _layers(settings.members, *sizes)
        self.head = _layers(settings.members, settings.hidden, settings.hidden, 1)

    def common(self, x: Tensor) -> Tensor:
        """What both heads see `[members, hidden, N]` of preprocessed features `[members or 1, d, N]`."""
        return torch.relu(_through(self.trunk, x))

    def forward(self, features: Tensor) -> Tensor:
        """The score; features beyond those it was trained on are clamped."""
        x, _ = self.preprocess(features.T)
        probabilities = torch.sigmoid(_through(self.head, self.common(x[None]))[:, 0])
        return (probabilities.sum(0) / len(probabilities))[:, None]


def _layers(members: int, *sizes: int) -> nn.ModuleList:
    return nn.ModuleList([StackedLinear(members, i, o) for i, o in pairwise(sizes)])


def _through(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Layers with ReLU between them."""
    for index, layer in enumerate(layers):
        x = layer(torch.relu(x) if index else x)
    return x


class Rivals(nn.Module):
    """The score, and the mass head that learns from its trunk what the trunk is to unlearn."""

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.strength = settings.strength
        self.score = Score(features, settings)
        self.mass_head = _layers(settings.members, settings.hidden, settings.hidden, 1)

    def loss(self, batch: Batch) -> Tensor:
        """BCE of the classes and λ times the mean squared error of the mass, `[members]`.

        The rows are features, class, weight of the class's loss, standardised mass, and weight of the mass's loss.
        """
        x, label, of_class, mass, of_mass = batch.rows
        common = self.score.common(x.transpose(1, 2))
        logits = _through(self.score.head, common)[:, 0]
        entropy = functional.binary_cross_entropy_with_logits(logits, label, of_class, reduction="none")
        error = (_through(self.mass_head, reversed_gradient(common))[:, 0] - mass).square()
        return (entropy + self.strength * of_mass * error).mean(1)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score."""
    return {"score": Score(features, settings)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Draw CATHODE's template, and train trunk and heads together."""
    density = needs["sideband"].modules["density"]
    assert isinstance(density, ConditionalDensity)
    made = template.draw(DensitySampler(density), task, "reversal", run.device, task.path.parent).events
    data = task.events("data")
    run.seeded("reversal")
    rivals = Rivals(len(task.features), settings)
    rivals.score.preprocess.fit(torch.from_numpy(data.features))
    rivals.to(run.device)
    features = np.concatenate([data.features, made.features])
    with torch.no_grad():
        x, _ = rivals.score.preprocess(torch.from_numpy(features).to(run.device).T)
    columns = _columns(task.inside(data), data.mass, len(made))
    tensors = [x.T.contiguous(), *(torch.from_numpy(column).to(run.device) for column in columns)]
    player = Player(list(rivals.parameters()), Rivals.loss)
    run_fit("reversal", rivals, [player], tensors, settings.training, run, settings.members)
    return Fitted({"score": rivals.score})


def _columns(inside: NDArray[np.bool_], mass: NDArray[np.float32], made: int) -> list[NDArray[np.float32]]:
    """Class, weight of the class's loss, mass, and weight of the mass's loss of data and then `made` template events.

    Data beside the window have no class, and template events no part in the mass's loss. Both classes weigh the same,
    and the mean of either weight is 1.
    """
    total = len(inside) + made
    of_template, of_data = np.repeat([0.0, 1.0], [len(inside), made]), np.repeat([1.0, 0.0], [len(inside), made])
    label = np.concatenate([inside, np.zeros(made)])
    standard = np.concatenate([(mass - mass.mean()) / mass.std(), np.zeros(made)])
    of_class = total / 2 * (label / inside.sum() + of_template / made)
    return [column.astype(np.float32) for column in (label, of_class, standard, total / len(inside) * of_data)]

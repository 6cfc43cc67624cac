"""An ensemble of MLP classifiers, trained together in one module, for GPUs."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sideband.benchmarks.metrics.argos import argos
from sideband.infer.meaning import PROBABILITY
from sideband.train.classifiers.settings import Array, ClassifierSettings, Label, Weight
from sideband.train.fit import Batch, Player, fit
from sideband.train.nets.flow import StackedLinear
from sideband.train.run import Run

ROWS = 20_000  # events of a member that are evaluated at once, for bounded memory


class StackedMLP(nn.Module):
    """An ensemble of classifiers in one module: features `[N, d]` in physical units → mean probability `[N, 1]`.

    Args:
        features: number of features d.
        settings: width, depth and number of members.
    """

    meaning = PROBABILITY

    def __init__(self, features: int, settings: ClassifierSettings) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.low: Tensor
        self.high: Tensor
        for name in ("mean", "scale", "low", "high"):
            self.register_buffer(name, torch.zeros(features, 1))
        sizes = [features, *[settings.hidden] * settings.layers]
        layers = [StackedLinear(settings.members, i, o) for i, o in pairwise(sizes)]
        self.hidden = nn.ModuleList(layers)
        self.last = StackedLinear(settings.members, settings.hidden, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Each member's logit `[members, N]` of standardised features `[members or 1, d, N]`."""
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.last(x)[:, 0]

    def log_odds(self, features: Tensor) -> Tensor:
        """Each member's log-odds `[members, N]` of features `[N, d]`."""
        x = (torch.minimum(torch.maximum(features.T, self.low), self.high) - self.mean) / self.scale
        return self.logits(x[None])

    def forward(self, features: Tensor) -> Tensor:
        """The score; features beyond those it was trained on are clamped."""
        probabilities = torch.sigmoid(self.log_odds(features))
        # Not by mean: torch's exporter would give its result the name of the buffer.
        return (probabilities.sum(0) / len(probabilities))[:, None]


def fit_mlps(
    name: str, features: Array, label: Label, weight: Weight | None, settings: ClassifierSettings, run: Run
) -> StackedMLP:
    """Fit all members together.

    Args:
        name: what the fit is called within the run.
        features: `[N, d]`, in physical units.
        label: `[N]`, 1 for data and 0 for the template.
        weight: `[N]`, on top of those that make both classes equally large; None for none.
        settings: size and training.
        run: seed, device, checkpoints.
    """
    run.seeded(name)
    model = StackedMLP(features.shape[1], settings)
    values = features.astype(np.float64)
    scale = np.maximum(values.std(0), 1e-12)
    for buffer, value in (
        (model.mean, values.mean(0)),
        (model.scale, scale),
        (model.low, values.min(0)),
        (model.high, values.max(0)),
    ):
        buffer.copy_(torch.from_numpy(value)[:, None])
    model.to(run.device)
    x = ((torch.from_numpy(features).to(run.device).T - model.mean) / model.scale).T.contiguous()
    y = torch.from_numpy(label.astype(np.float32)).to(run.device)
    balance = np.where(label == 1, 0.5 / (label == 1).mean(), 0.5 / (label == 0).mean())
    w = torch.from_numpy((balance if weight is None else balance * weight).astype(np.float32)).to(run.device)

    def loss(model: StackedMLP, batch: Batch) -> Tensor:
        features, label, weight = batch.rows
        logits = model.logits(features.transpose(1, 2))
        return functional.binary_cross_entropy_with_logits(logits, label, weight, reduction="none").mean(1)

    criterion = _unremarkable if settings.choice == "argos" else None
    player = Player(list(model.parameters()), loss, criterion, whole=criterion is not None)
    fit(name, model, [player], [x, y, w], settings.training, run, settings.members)
    return model


def _unremarkable(model: StackedMLP, batch: Batch) -> Tensor:
    """How little stands out for each member `[members]`: the negative of ARGOS."""
    features, label, weight = batch.rows
    odds = torch.cat([model.logits(part.transpose(1, 2)) for part in torch.split(features, ROWS, 1)], 1)
    found = [
        argos(score[data], score[~data], of[~data])
        for score, data, of in zip(odds.cpu().numpy(), label.bool().cpu().numpy(), weight.cpu().numpy(), strict=True)
    ]
    return -torch.tensor(found, dtype=torch.float32, device=odds.device)

"""The marginals of the features at every mass, fitted once for every generator that learns only correlations.

Ours; a spline is that of neural spline flows (arXiv:1906.04032).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.marginals import Marginals
from sideband.train.nets.preprocessing import MassScale
from sideband.train.parts import in_parts
from sideband.train.run import Run
from sideband.train.settings import Range


@dataclass(frozen=True)
class MarginalTraining(Training):
    """How the few parameters of the splines are trained; with 0 steps they stay the identity."""

    steps: Annotated[int, Range(0, 10**9)] = 5000


TRAINING = MarginalTraining(batch=2048, learning_rate=5e-3, interval=50, patience=4, weight_decay=1e-2, ema=0.99)


@dataclass(frozen=True)
class Settings:
    """Which events are fitted, and how. All values are ours."""

    sidebands: bool = True  # the sidebands alone, or all the data
    training: MarginalTraining = TRAINING


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The marginals."""
    return {"marginals": Marginals(features)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Normal by their quantiles first; then the splines learn what depends on the mass, by the mean of -log p."""
    data = task.events("data")
    if settings.sidebands:
        data = data[~task.inside(data)]
    run.seeded("marginals")
    marginals, scale = Marginals(len(task.features)).to(run.device), MassScale()
    scale.fit(*task.mass_range)
    features, mass = (torch.from_numpy(values).to(run.device) for values in (data.features, data.mass[:, None]))
    marginals.quantiles.fit(features)
    x = in_parts(lambda part: marginals.quantiles(part.T)[0].T, [features])
    mass = scale.to(run.device)(mass)

    def loss(marginals: Marginals, batch: Batch) -> Tensor:
        events, mass = (rows[0] for rows in batch.rows)
        normal, log_determinant = marginals.bent(events, marginals.shapes(mass))
        return (0.5 * normal.square().sum(1) - log_determinant).mean()[None]

    if settings.training.steps:
        player = Player(list(marginals.parameters()), loss)
        run_fit("marginals", marginals, [player], [x, mass], settings.training, run)
    return Fitted({"marginals": marginals})

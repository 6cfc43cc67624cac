"""Maximum-likelihood fits of conditional flows."""

from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.datasets import Events
from train.fit import Batch, Player, Training, fit
from train.nets.flow import Flow
from train.nets.preprocessing import Gaussianise, LogitStandardise, MassScale
from train.run import Run


class HasPreprocessing(Protocol):
    """A module that says how features and mass are to be scaled."""

    @property
    def preprocess(self) -> LogitStandardise | Gaussianise:
        """Of the features."""

    @property
    def mass(self) -> MassScale:
        """Of the mass."""

    def to(self, device: torch.device) -> Any:
        """Move it."""


def preprocessed(density: HasPreprocessing, table: Events, device: torch.device) -> tuple[Tensor, Tensor]:
    """Events as the density's flow sees them, on the device: features `[N, d]` and condition `[N, 1]`."""
    density.to(device)
    with torch.no_grad():
        x, _ = density.preprocess(torch.from_numpy(table.features).to(device).T)
        mass = density.mass(torch.from_numpy(table.mass).to(device))
    return x.T.contiguous(), mass[:, None]


def prepared(
    model: HasPreprocessing, table: Events, mass_range: tuple[float, float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Fit a model's preprocessing to events and a mass range; the events as `preprocessed` gives them."""
    model.preprocess.fit(torch.from_numpy(table.features))
    model.mass.fit(*mass_range)
    return preprocessed(model, table, device)


def log_density(flow: Flow, x: Tensor, condition: Tensor, rows: int = 20_000) -> Tensor:
    """Log p `[N]` of preprocessed features `[N, d]` under the first member, in bounded memory and without gradients."""
    with torch.no_grad():
        parts = [
            flow.log_density(x[start : start + rows].T[None], condition[start : start + rows].T[None])[0]
            for start in range(0, len(x), rows)
        ]
    return torch.cat(parts)


def fit_flow(name: str, flow: Flow, x: Tensor, condition: Tensor, training: Training, run: Run) -> None:
    """Fit `flow` to preprocessed features `[N, d]` given `[N, 1]`, by the mean of -log p."""

    def loss(model: Flow, batch: Batch) -> Tensor:
        features, mass = batch.rows
        return -model.log_density(features.transpose(1, 2), mass.transpose(1, 2)).mean(1)

    flow.to(run.device)
    fit(name, flow, [Player(list(flow.parameters()), loss)], [x, condition], training, run)

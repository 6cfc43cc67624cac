"""Maximum-likelihood fits: of conditional flows, and of the marginals of other generators."""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor

from sideband.benchmarks.events.tables import Events
from sideband.train.fit import Batch, Player, Training, fit
from sideband.train.nets.flow import ConditionalDensity, Flow
from sideband.train.nets.marginals import Marginals
from sideband.train.nets.preprocessing import LogitStandardise, MassScale
from sideband.train.parts import ROWS, in_parts
from sideband.train.run import Run
from sideband.train.settings import Range


@dataclass(frozen=True)
class MarginalTraining(Training):
    """How the few parameters of a generator's marginals are trained; 0 steps leave them untrained."""

    steps: Annotated[int, Range(0, 10**9)] = 5000


MARGINALS = MarginalTraining(batch=2048, learning_rate=5e-3, interval=50, patience=4, weight_decay=1e-2, ema=0.99)


class HasMass(Protocol):
    """A module that scales the mass."""

    @property
    def mass(self) -> MassScale:
        """Scales the mass."""

    def to(self, device: torch.device) -> Any:
        """Move to a device."""


class HasPreprocessing(HasMass, Protocol):
    """A module that scales features and mass."""

    @property
    def preprocess(self) -> LogitStandardise:
        """Scales the features."""


def preprocessed(density: HasPreprocessing, table: Events, device: torch.device) -> tuple[Tensor, Tensor]:
    """Events as the flow sees them, on the device: preprocessed features `[N, d]` and scaled masses `[N, 1]`."""
    density.to(device)
    with torch.no_grad():
        x, _ = density.preprocess(torch.from_numpy(table.features).to(device).T)
        mass = density.mass(torch.from_numpy(table.mass).to(device))
    return x.T.contiguous(), mass[:, None]


def prepared(
    model: HasPreprocessing, table: Events, mass_range: tuple[float, float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Fit the preprocessing of a model to events and a mass range; returns the events as `preprocessed` does."""
    model.preprocess.fit(torch.from_numpy(table.features))
    model.mass.fit(*mass_range)
    return preprocessed(model, table, device)


def noise_of(density: ConditionalDensity, x: Tensor, mass: Tensor, rows: int = ROWS) -> Tensor:
    """The noise `[N, d]` of a density's preprocessed features `[N, d]` at scaled masses `[N, 1]`, in bounded memory."""
    return in_parts(lambda x, mass: density.flow.latent(x.T[None], mass.T[None])[0][0].T, [x, mass], rows).contiguous()


def log_density(flow: Flow, x: Tensor, condition: Tensor, rows: int = ROWS) -> Tensor:
    """Log p `[N]` of preprocessed features `[N, d]` under the first member, in bounded memory and without gradients."""
    return in_parts(lambda x, at: flow.log_density(x.T[None], at.T[None])[0], [x, condition], rows)


def fit_flow(name: str, flow: Flow, x: Tensor, condition: Tensor, training: Training, run: Run) -> None:
    """Fit `flow` to preprocessed features `[N, d]` given scaled masses `[N, 1]`, by the mean of -log p."""

    def loss(model: Flow, batch: Batch) -> Tensor:
        features, mass = batch.rows
        return -model.log_density(features.transpose(1, 2), mass.transpose(1, 2)).mean(1)

    flow.to(run.device)
    fit(name, flow, [Player(list(flow.parameters()), loss)], [x, condition], training, run)


class HasMarginals(HasMass, Protocol):
    """A generator in features that are standard normal at every mass."""

    @property
    def marginals(self) -> Marginals:
        """Maps the features to standard normal ones."""


def fit_marginals(
    model: HasMarginals, table: Events, mass_range: tuple[float, float], training: Training, run: Run
) -> tuple[Tensor, Tensor]:
    """Fit the marginals of a generator to events by the mean of -log p; with 0 steps, only their quantiles.

    Returns:
        Standard normal features `[N, d]` for the network, and masses `[N, 1]` in the mass unit, on the device.
    """
    model.to(run.device)
    features, mass = (torch.from_numpy(values).to(run.device) for values in (table.features, table.mass[:, None]))
    model.marginals.quantiles.fit(features)
    model.mass.fit(*mass_range)
    with torch.no_grad():
        x, _ = model.marginals.quantiles(features.T)
        x, scaled = x.T.contiguous(), model.mass(mass)

    def loss(marginals: Marginals, batch: Batch) -> Tensor:
        events, mass = (rows[0] for rows in batch.rows)
        normal, log_determinant = marginals.bent(events, marginals.shapes(mass))
        return (0.5 * normal.square().sum(1) - log_determinant).mean()[None]

    if training.steps:
        player = Player(list(model.marginals.parameters()), loss)
        fit("marginals", model.marginals, [player], [x, scaled], training, run)
    return in_parts(lambda x, at: model.marginals.bent(x, model.marginals.shapes(at))[0], [x, scaled]), mass

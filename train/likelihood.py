"""Maximum-likelihood fits of conditional flows, and the events as flows and other generators see them."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from sideband.benchmarks.events.tables import Events
from sideband.train.fit import Batch, Player, Training, fit
from sideband.train.methods import Needed
from sideband.train.nets.flow import ConditionalDensity, Flow
from sideband.train.nets.marginals import Marginals
from sideband.train.nets.preprocessing import LogitStandardise, MassScale
from sideband.train.parts import ROWS, in_parts
from sideband.train.run import Run


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


def normalised(
    model: HasMarginals, needs: Mapping[str, Needed], table: Events, mass_range: tuple[float, float], run: Run
) -> tuple[Tensor, Tensor]:
    """Give a generator the marginals of the shared fit among `needs`; returns events as the generator sees them.

    Returns:
        Standard normal features `[N, d]` for the network, and masses `[N, 1]` in the mass unit, on the device.
    """
    (shared,) = (fit.modules["marginals"] for fit in needs.values() if "marginals" in fit.modules)
    model.marginals.load_state_dict(shared.state_dict())
    model.mass.fit(*mass_range)
    model.to(run.device)
    features, mass = (torch.from_numpy(values).to(run.device) for values in (table.features, table.mass[:, None]))

    def normal(features: Tensor, mass: Tensor) -> Tensor:
        return model.marginals(features, model.marginals.shapes(model.mass(mass)))[0]

    return in_parts(normal, [features, mass]), mass

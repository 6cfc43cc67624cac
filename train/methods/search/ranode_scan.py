"""R-ANODE's signal fraction with a 95 % interval, from the likelihood at fixed fractions.

"Generator Based Inference", arXiv:2506.00119, fits R-ANODE's signal model (arXiv:2312.11629) at each of twenty fixed
fractions, and takes the interval from the likelihood of events that the fit did not see. Ours is one model of all
fractions: the fraction w is a further condition of its flows. They see the background flow's noise, where the
background is a standard normal at every mass.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.events.task import Task
from sideband.benchmarks.metrics.interval import Curve, Interval, interval
from sideband.train import residual
from sideband.train.fit import Batch, Player, Training, spread_out
from sideband.train.fit import fit as run_fit
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, Flow, FlowSettings, StackedLinear
from sideband.train.nets.signal import SignalDensity, SignalRatio, SignalSampler, log_mass_density
from sideband.train.nets.spline import Bins
from sideband.train.run import Run, derived_seed
from sideband.train.settings import Members, Range

ROWS = 5_000  # evaluated at once, for bounded memory
WIDE = 1.6  # factor on both sides of the best fraction within which the scan is denser

Fraction = Annotated[float, Range(0, 1, above=True, below=True)]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """The values of arXiv:2506.00119 where not marked as ours."""

    # Small, because the background's noise is simple: ours.
    flow: FlowSettings = field(default_factory=lambda: FlowSettings(couplings=3, hidden=32, bins=6, bound=5.0))
    folds: Annotated[int, Range(2, 20)] = 5  # each part's likelihood under models that were fitted to the others
    members: Members = 2  # models of a fold: ours, they have 20, of one fraction each
    mass_bins: Bins = 8  # spline bins of the signal's mass density: ours
    least_fraction: Fraction = 1e-5  # ends of the scan
    most_fraction: Fraction = 0.1
    least_fitted: Fraction = 1e-4  # below it the models of this fraction serve, which have seen more events: ours
    points: Annotated[int, Range(5, 1000)] = 33  # of the scan: ours, one model serves them all; they have 20
    bootstraps: Annotated[int, Range(2, 10_000)] = 100  # of the models, for the error of a point
    self_closure: bool = False  # whether the window's events are drawn from the background model: their closure test
    training: Training = field(
        default_factory=lambda: Training(
            steps=2500, batch=256, learning_rate=3e-3, interval=100, validation=0.125, patience=3, drops=1, ema=0.99
        )
    )

    def __post_init__(self) -> None:
        if not self.least_fraction <= self.least_fitted < self.most_fraction:
            raise ValueError("least_fraction, least_fitted and most_fraction must rise")


class Scan(nn.Module):
    """A stack of M signal models of all fractions, each a density of the noise and one of the mass.

    Args:
        features: number of features d.
        settings: shape, and the fractions.
    """

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.flow = Flow(features, 2, settings.flow, settings.members)
        self.hidden = StackedLinear(settings.members, 1, 16)
        self.mass = StackedLinear(settings.members, 16, 3 * settings.mass_bins - 1, scale=0.01)
        self.low, self.high = math.log(settings.least_fitted), math.log(settings.most_fraction)

    def place(self, log_fraction: Tensor) -> Tensor:
        """The condition that stands for a fraction: its logarithm, from -1 to 1."""
        return (2 * (log_fraction - self.low) / (self.high - self.low) - 1).clamp(-1, 1)

    def mass_parameters(self, place: Tensor) -> Tensor:
        """Parameters `[M, 3K - 1, 1, N]` of the spline of the mass at places `[M, N]`."""
        return self.mass(torch.relu(self.hidden(place[:, None])))[:, :, None]

    def log_ratio(
        self, noise: Tensor, mass: Tensor, position: Tensor, log_background: Tensor, log_fraction: Tensor
    ) -> Tensor:
        """Log p_S - log p_B `[M, N]` of events at fractions.

        Args:
            noise, mass: the background flow's noise `[M, d, N]` and scaled masses `[M, 1, N]`.
            position: places in the window `[M, N]`, from -1 to 1.
            log_background: log of the background's density of noise and position `[M, N]`.
            log_fraction: log w `[M, N]`.
        """
        place = self.place(log_fraction)
        features = self.flow.log_density(noise, torch.cat([mass, place[:, None]], 1))
        return features + log_mass_density(position, self.mass_parameters(place)) - log_background


def log_odds(log_fraction: Tensor) -> Tensor:
    """Log of w / (1 - w), from log w."""
    return log_fraction - torch.log(-torch.expm1(log_fraction))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score log p_S(x|m) - log p_B(x|m) at the best fraction, averaged over all models, and the signal itself."""
    background = ConditionalDensity(features, needs["sideband"].flow)
    return _modules(_empty(background, settings))


def _empty(background: ConditionalDensity, settings: Settings) -> SignalDensity:
    stack = settings.folds * settings.members
    return SignalDensity(background, settings.flow, stack, settings.mass_bins, in_noise=True, constants=1)


def _modules(signal: SignalDensity) -> dict[str, nn.Module]:
    return {"score": SignalRatio(signal), "signal": SignalSampler(signal)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit the models of each fold, and find the fraction and its interval, without reading labels."""
    background = needs["sideband"].modules["density"]
    assert isinstance(background, ConditionalDensity)
    data = task.events("data")
    data = data[task.inside(data)]
    if settings.self_closure:
        data = _from_background(background, data, run)
    window = residual.window_of(background, data, task.window, run.device, in_noise=True)
    fold = np.random.default_rng(derived_seed(run.seed, "folds")).permutation(len(data)) % settings.folds
    models = []
    for index in range(settings.folds):
        others = torch.from_numpy(np.flatnonzero(fold != index)).to(run.device)
        models.append(_trained(f"fold{index}", [rows[others] for rows in window.tensors], settings, run))
    curve = _measured(models, window, fold, settings, run.seed)
    found = interval(curve)
    signal = _at(found.fraction, models, _empty(background, settings).to(run.device), task)
    return Fitted(_modules(signal), numbers=_numbers(found, curve, settings))


def _from_background(background: ConditionalDensity, data: Events, run: Run) -> Events:
    """As many events from the background model, at the masses of the data."""
    random = torch.Generator().manual_seed(derived_seed(run.seed, "self closure"))
    noise = torch.randn(data.features.shape, generator=random).to(run.device)
    mass = torch.from_numpy(data.mass[:, None]).to(run.device)
    with torch.no_grad():
        parts = [
            background.sample(*both) for both in zip(torch.split(noise, ROWS), torch.split(mass, ROWS), strict=True)
        ]
    return Events(data.mass, torch.cat(parts).cpu().numpy(), None)


def _trained(name: str, tensors: list[Tensor], settings: Settings, run: Run) -> Scan:
    """Models of all fractions, fitted to the events of the other folds.

    Fractions are drawn evenly in their logarithm. An event's share in the fit of p_S is its probability to be signal,
    about w; the weight w^-1/2 keeps the large fractions from outvoting the small ones.
    """

    def loss(model: Scan, batch: Batch) -> Tensor:
        noise, mass, position, log_background = batch.rows
        jitter = torch.rand(position.shape, generator=batch.random, device=position.device)
        uniform = spread_out(position.shape[1], jitter)
        log_fraction = model.low + (model.high - model.low) * uniform
        ratio = model.log_ratio(noise.transpose(1, 2), mass.transpose(1, 2), position, log_background, log_fraction)
        weight = torch.exp(-0.5 * (log_fraction - model.high))
        return -(weight * residual.gain(ratio, log_odds(log_fraction))).mean(1)

    run.seeded(name)
    model = Scan(tensors[0].shape[1], settings).to(run.device)
    run_fit(name, model, [Player(list(model.parameters()), loss)], tensors, settings.training, run, settings.members)
    return model


def _measured(
    models: list[Scan], window: residual.Window, of: NDArray[np.int64], settings: Settings, seed: int
) -> Curve:
    """The held-out curve at all points of the scan, and at half as many again beside the highest one.

    Args:
        models: of each fold.
        window: all events of the window.
        of: the fold of each event `[N]`, whose models have not seen it.
        settings, seed: of the fit.
    """

    def measured(at: Array) -> Curve:
        ratios = np.empty((settings.members, len(at), len(of)), np.float32)
        for index, model in enumerate(models):
            rows = torch.from_numpy(np.flatnonzero(of == index)).to(window.position.device)
            ratios[:, :, rows.cpu().numpy()] = _log_ratios(model, [each[rows] for each in window.tensors], at)
        return _curve(ratios, of, at, settings.bootstraps, seed)

    curve = measured(np.geomspace(settings.least_fraction, settings.most_fraction, settings.points))
    best = curve.fractions[curve.gains.argmax()]
    ends = max(best / WIDE, settings.least_fraction), min(best * WIDE, settings.most_fraction)
    return curve.joined(measured(np.geomspace(*ends, settings.points // 2 + 2)[1:-1]))


@torch.no_grad()
def _log_ratios(model: Scan, tensors: list[Tensor], fractions: Array) -> NDArray[np.float32]:
    """Log p_S - log p_B `[M, K, N]` of events under each model, at K fractions."""
    columns = []
    for fraction in fractions.tolist():
        parts = []
        for noise, mass, position, log_background in zip(*(torch.split(rows, ROWS) for rows in tensors), strict=True):
            members = model.flow.members
            noise, mass = noise.T.expand(members, -1, -1), mass.T.expand(members, -1, -1)
            position, log_background = position.expand(members, -1), log_background.expand(members, -1)
            at = torch.full_like(position, math.log(fraction))
            parts.append(model.log_ratio(noise, mass, position, log_background, at))
        columns.append(torch.cat(parts, 1))
    return torch.stack(columns, 1).cpu().numpy()


def _curve(ratios: NDArray[np.float32], of: NDArray[np.int64], at: Array, bootstraps: int, seed: int) -> Curve:
    """Log-likelihood over no signal at K fractions, of all events, and its error from bootstraps of the models.

    The error is that of the difference to the highest point: what all points share moves no end of an interval.

    Args:
        ratios: log p_S - log p_B `[M, K, N]`; the densities of the models are averaged first.
        of: the fold of each event `[N]`, whose models are drawn by themselves.
        at: the fractions `[K]`.
        bootstraps, seed: how often and how models are drawn.
    """
    odds = np.log(at / (1 - at))[:, None]
    members, folds = len(ratios), int(of.max()) + 1

    def by_fold(counts: NDArray[np.int64]) -> Array:
        weight = np.log(np.maximum(counts, 1e-30) / members).astype(np.float32)
        averaged = np.logaddexp.reduce(ratios + weight[:, None, None], axis=0)
        gain = np.logaddexp(odds + averaged, 0) - np.logaddexp(odds, 0)
        return np.stack([gain[:, of == fold].sum(1) for fold in range(folds)])

    gains = by_fold(np.ones(members, np.int64)).sum(0)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(members, np.full(members, 1 / members), size=(bootstraps, folds))
    different, which = np.unique(drawn.reshape(-1, members), axis=0, return_inverse=True)
    heights = np.stack([by_fold(each) for each in different])
    totals = heights[which.reshape(bootstraps, folds), np.arange(folds)].sum(1)
    return Curve(at, gains, np.std(totals - totals[:, [gains.argmax()]], axis=0))


def _at(fraction: float, models: list[Scan], signal: SignalDensity, task: Task) -> SignalDensity:
    """The models of all folds side by side, at one fraction."""
    states = [model.flow.state_dict() for model in models]
    signal.flow.load_state_dict({key: torch.cat([state[key] for state in states]) for key in states[0]})
    with torch.no_grad():
        place = models[0].place(torch.tensor([[math.log(fraction)]], device=signal.mass.device))
        parameters = [model.mass_parameters(place.expand(model.flow.members, -1)) for model in models]
        signal.mass.copy_(torch.cat(parameters))
    signal.constants.copy_(place[None])
    signal.window.copy_(torch.tensor(task.window))
    return signal


def _numbers(found: Interval, curve: Curve, settings: Settings) -> dict[str, Any]:
    measured = {key: values.tolist() for key, values in vars(curve).items()}
    return {
        "signal_fraction": found.fraction,
        "members_kept": settings.folds * settings.members,
        "found": found.low > 0,
        "interval": {**asdict(found), **measured, "self_closure": settings.self_closure},
    }

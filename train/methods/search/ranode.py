"""R-ANODE: the density of the signal, fitted to what the background leaves unexplained in the signal region.

R. Das, G. Kasieczka, D. Shih, "Residual ANODE", arXiv:2312.11629. The data follow w p_S(x, m) + (1 - w) p_B(x|m) p(m),
with a frozen background p_B and a learned signal fraction w. We write p_S(x, m) = p_S(m) p_S(x|m). This factorisation
is exact, and it gives the score log p_S(x|m) - log p_B(x|m) without a histogram of the model's own samples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sideband.benchmarks.events.task import Task
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.likelihood import log_density, preprocessed
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, DensityRatio, Flow, FlowSettings
from sideband.train.nets.spline import Bins, rational_quadratic_spline
from sideband.train.run import Run
from sideband.train.settings import Members, Range, Share

MASS_BINS = 49  # of the histogram for p(m): authors' code

Fraction = Annotated[float, Range(0, 1, above=True, below=True)]


@dataclass(frozen=True)
class Settings:
    """The values of the authors' code where not marked as ours."""

    flow: FlowSettings = field(default_factory=FlowSettings)  # authors' shape; theirs is autoregressive, ours coupling
    members: Members = 20  # retrainings, each on its own split of the events: authors' code
    mass_bins: Bins = 8  # spline bins of the signal's mass density: ours, they model the mass as another feature
    least_fraction: Fraction = 1e-3  # lowest start of the signal fraction: authors' code
    most_fraction: Fraction = 1e-2  # highest start of the signal fraction: authors' code
    least_gain: Share = 0.5  # likelihood gain, relative to the best member's, below which a member is dropped: ours
    # Epochs, batch, rate and 80 % of the events as in the authors' code. Our best epoch of averaged weights replaces
    # their mean over the ten best epochs.
    training: Training = field(
        default_factory=lambda: Training(
            epochs=300, batch=256, learning_rate=3e-4, validation=0.2, patience=50, ema=0.99
        )
    )

    def __post_init__(self) -> None:
        if self.least_fraction > self.most_fraction:
            raise ValueError(f"least_fraction {self.least_fraction:g} is above most_fraction {self.most_fraction:g}")


class Mixture(nn.Module):
    """A stack of M signal models: density of the features given the mass, density of the mass, signal fraction."""

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.flow = Flow(features, 1, settings.flow, settings.members)
        self.mass = nn.Parameter(torch.zeros(settings.members, 3 * settings.mass_bins - 1, 1, 1))
        start = torch.empty(settings.members).uniform_(settings.least_fraction, settings.most_fraction)
        self.fraction = nn.Parameter(torch.logit(start))

    def log_mass_density(self, position: Tensor) -> Tensor:
        """Log p_S `[M, N]` of positions `[M, N]` in the window, from -1 to 1."""
        parameters = self.mass.expand(-1, -1, 1, position.shape[1])
        _, log_derivative = rational_quadratic_spline(position[:, None], parameters, 1.0, 1e-3)
        return log_derivative[:, 0] - math.log(2)

    def gain(self, x: Tensor, condition: Tensor, position: Tensor, log_background: Tensor) -> Tensor:
        """Log-likelihood ratio `[M, N]` of the mixture to the background alone, for each event.

        Args:
            x, condition: preprocessed features `[M, d, N]` and masses `[M, 1, N]`.
            position: positions in the window `[M, N]`, from -1 to 1.
            log_background: log p_B(x|m) p(m) `[M, N]`.
        """
        signal = self.flow.log_density(x, condition) + self.log_mass_density(position)
        return torch.logaddexp(
            functional.logsigmoid(self.fraction)[:, None] + signal - log_background,
            functional.logsigmoid(-self.fraction)[:, None].expand_as(signal),
        )


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score log p_S(x|m) - log p_B(x|m), with p_S averaged over the members."""
    background = ConditionalDensity(features, needs["sideband"].flow)
    return {"score": DensityRatio(background, Flow(features, 1, settings.flow, settings.members))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit all members together to the data in the window, without reading labels."""
    background = needs["sideband"].modules["density"]
    assert isinstance(background, ConditionalDensity)
    data = task.events("data")
    data = data[task.inside(data)]
    x, condition = preprocessed(background, data, run.device)
    low, high = task.window
    position = torch.from_numpy(2 * (data.mass - low) / (high - low) - 1).to(run.device)
    counts, edges = np.histogram(position.cpu().numpy(), MASS_BINS, range=(-1, 1), density=True)
    bins = np.clip(np.digitize(position.cpu().numpy(), edges) - 1, 0, MASS_BINS - 1)
    log_mass = torch.from_numpy(np.log(counts[bins]).astype(np.float32)).to(run.device)
    log_background = log_density(background.flow, x, condition) + log_mass

    def loss(model: Mixture, batch: Batch) -> Tensor:
        features, mass, place, floor = batch.rows
        return -model.gain(features.transpose(1, 2), mass.transpose(1, 2), place, floor).mean(1)

    run.seeded("signal")
    mixture = Mixture(len(task.features), settings).to(run.device)
    player = Player(list(mixture.parameters()), loss)
    tensors = [x, condition, position, log_background]
    progress = run_fit("signal", mixture, [player], tensors, settings.training, run, settings.members)

    # The authors drop failed retrainings by a cut chosen by hand for each injection; this rule needs no truth.
    gains = -np.array(progress.best)
    kept = gains >= settings.least_gain * gains.max() if gains.max() > 0 else np.full(len(gains), True)
    score = DensityRatio(background, mixture.flow)
    score.keep(torch.from_numpy(kept).to(run.device))
    fractions = torch.sigmoid(mixture.fraction.detach()).cpu().numpy()
    numbers = {
        "signal_fraction": float(np.median(fractions[kept])),
        "members_kept": int(kept.sum()),
        "fractions": fractions.tolist(),
        "gains": [gain if math.isfinite(gain) else None for gain in gains.tolist()],
    }
    return Fitted({"score": score}, numbers=numbers)

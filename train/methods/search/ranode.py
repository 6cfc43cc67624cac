"""R-ANODE: the signal's own density, fitted to the signal region as what the background does not explain.

R. Das, G. Kasieczka, D. Shih, "Residual ANODE", arXiv:2312.11629. The data are w p_S(x, m) + (1 - w) p_B(x|m) p(m)
with the background p_B frozen and the signal fraction w learned. Here p_S(x, m) = p_S(m) p_S(x|m), an exact
factorisation that gives the score log p_S(x|m) - log p_B(x|m) without a histogram of the model's own samples.
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
from sideband.train.nets.flow import (
    Bins,
    ConditionalDensity,
    DensityRatio,
    Flow,
    FlowSettings,
    rational_quadratic_spline,
)
from sideband.train.run import Run
from sideband.train.settings import Members, Range, Share

MASS_BINS = 49  # of the histogram for p(m), as in the authors' code

Fraction = Annotated[float, Range(0, 1, above=True, below=True)]


@dataclass(frozen=True)
class Settings:
    """The authors' values, except that a member's best epoch stands for their average over ten."""

    flow: FlowSettings = field(default_factory=FlowSettings)
    members: Members = 20  # retrainings, each on its own 80 % of the events
    mass_bins: Bins = 8  # spline bins of the signal's mass density
    least_fraction: Fraction = 1e-3  # the signal fraction starts between these two
    most_fraction: Fraction = 1e-2
    least_gain: Share = 0.5  # members that gain less likelihood than this share of the best one's are left out
    training: Training = field(
        default_factory=lambda: Training(
            epochs=300, batch=256, learning_rate=3e-4, validation=0.2, patience=50, ema=0.99
        )
    )

    def __post_init__(self) -> None:
        if self.least_fraction > self.most_fraction:
            raise ValueError(f"least_fraction {self.least_fraction:g} is above most_fraction {self.most_fraction:g}")


class Mixture(nn.Module):
    """A stack of signal models: density of the features given the mass, density of the mass, signal fraction."""

    def __init__(self, features: int, settings: Settings) -> None:
        super().__init__()
        self.flow = Flow(features, 1, settings.flow, settings.members)
        self.mass = nn.Parameter(torch.zeros(settings.members, 3 * settings.mass_bins - 1, 1, 1))
        start = torch.empty(settings.members).uniform_(settings.least_fraction, settings.most_fraction)
        self.fraction = nn.Parameter(torch.logit(start))

    def log_mass_density(self, position: Tensor) -> Tensor:
        """Log p_S `[M, N]` of positions in the window, -1 to 1, `[M, N]`."""
        parameters = self.mass.expand(-1, -1, 1, position.shape[1])
        _, log_derivative = rational_quadratic_spline(position[:, None], parameters, 1.0, 1e-3)
        return log_derivative[:, 0] - math.log(2)

    def gain(self, x: Tensor, condition: Tensor, position: Tensor, log_background: Tensor) -> Tensor:
        """Log of the mixture over the background alone `[M, N]`; the likelihood it is trained on, less a constant."""
        signal = self.flow.log_density(x, condition) + self.log_mass_density(position)
        return torch.logaddexp(
            functional.logsigmoid(self.fraction)[:, None] + signal - log_background,
            functional.logsigmoid(-self.fraction)[:, None].expand_as(signal),
        )


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score log p_S(x|m) - log p_B(x|m), the members' p_S averaged."""
    background = ConditionalDensity(features, needs["sideband"].flow)
    return {"score": DensityRatio(background, Flow(features, 1, settings.flow, settings.members))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit all members together to the data in the window."""
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

    # The authors drop failed retrainings by a cut set by hand for each injection; this rule needs no truth.
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

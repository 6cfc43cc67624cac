"""R-ANODE: the density of the signal, fitted to what the background leaves unexplained in the signal region.

R. Das, G. Kasieczka, D. Shih, "Residual ANODE", arXiv:2312.11629. The data follow w p_S(x, m) + (1 - w) p_B(x|m) p(m),
with a frozen background p_B; the signal fraction w is learned, or fixed. We write p_S(x, m) = p_S(m) p_S(x|m). This
factorisation is exact, and it gives the score log p_S(x|m) - log p_B(x|m) without a histogram of the model's own
samples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer import events
from sideband.train import residual
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, Flow, FlowSettings
from sideband.train.nets.signal import SignalDensity, SignalRatio, SignalSampler, log_mass_density
from sideband.train.nets.spline import Bins
from sideband.train.run import Progress, Run
from sideband.train.settings import Members, Positive, Range, Share

# A likelihood ratio to the true background, of a model chosen without the events it is tried on, exceeds 20 in at most
# 5 % of samples without signal (Markov's inequality), and so does the mean of such ratios.
FOUND = math.log(20)
FRACTIONS = (1e-5, 0.5)  # fractions that are given as a multiple of the truth stay between these

Fraction = Annotated[float, Range(0, 1, above=True, below=True)]


@dataclass(frozen=True)
class Settings:
    """The values of the authors' code where not marked as ours."""

    flow: FlowSettings = field(default_factory=FlowSettings)  # authors' shape; theirs is autoregressive, ours coupling
    members: Members = 20  # retrainings, each on its own split of the events: authors' code
    mass_bins: Bins = 8  # spline bins of the signal's mass density: ours, they model the mass as another feature
    fraction: Fraction | None = None  # the signal fraction, fixed; null learns it, the authors do both
    of_truth: Positive | None = None  # the signal fraction, fixed at so many times the true one
    least_fraction: Fraction = 1e-3  # lowest start of a learned fraction: authors' code
    most_fraction: Fraction = 1e-2  # highest start of a learned fraction: authors' code
    least_gain: Share = 0.5  # likelihood gain, relative to the best member's, below which a member is dropped: ours
    restarts: Annotated[int, Range(0, 100)] = 2  # of all members, until two agree that there is signal, at most: ours
    # Batch, rate and 80 % of the events as in the authors' code. Our best look at averaged weights replaces their mean
    # over the ten best of 300 epochs.
    training: Training = field(
        default_factory=lambda: Training(batch=256, learning_rate=3e-4, validation=0.2, patience=20, ema=0.99)
    )

    def __post_init__(self) -> None:
        if self.least_fraction > self.most_fraction:
            raise ValueError(f"least_fraction {self.least_fraction:g} is above most_fraction {self.most_fraction:g}")
        if self.fraction is not None and self.of_truth is not None:
            raise ValueError("fraction and of_truth both fix the signal fraction; give one")

    @property
    def reads_truth(self) -> bool:
        """Whether the fit reads labels, so that only a reference may have these settings."""
        return self.of_truth is not None


class Mixture(nn.Module):
    """A stack of M signal models: density of the features given the mass, density of the mass, signal fraction."""

    def __init__(self, features: int, settings: Settings, fixed: float | None = None) -> None:
        super().__init__()
        self.flow = Flow(features, 1, settings.flow, settings.members)
        self.mass = nn.Parameter(torch.zeros(settings.members, 3 * settings.mass_bins - 1, 1, 1))
        start = torch.empty(settings.members).uniform_(settings.least_fraction, settings.most_fraction)
        start = start if fixed is None else torch.full_like(start, fixed)
        self.fraction = nn.Parameter(torch.logit(start), requires_grad=fixed is None)

    def log_mass_density(self, position: Tensor) -> Tensor:
        """Log p_S `[M, N]` of positions `[M, N]` in the window, from -1 to 1."""
        return log_mass_density(position, self.mass)

    def gain(self, x: Tensor, condition: Tensor, position: Tensor, log_background: Tensor) -> Tensor:
        """Log-likelihood ratio `[M, N]` of the mixture to the background alone, for each event.

        Args:
            x, condition: preprocessed features `[M, d, N]` and masses `[M, 1, N]`.
            position: positions in the window `[M, N]`, from -1 to 1.
            log_background: log p_B(x|m) p(m) `[M, N]`.
        """
        signal = self.flow.log_density(x, condition) + self.log_mass_density(position)
        return residual.gain(signal - log_background, self.fraction[:, None])


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The score log p_S(x|m) - log p_B(x|m), with p_S averaged over the members, and the signal itself."""
    background = ConditionalDensity(features, needs["sideband"].flow)
    return _modules(SignalDensity(background, settings.flow, settings.members, settings.mass_bins))


def _modules(signal: SignalDensity) -> dict[str, nn.Module]:
    return {"score": SignalRatio(signal), "signal": SignalSampler(signal)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Fit all members together to the data in the window; only `of_truth` reads labels.

    A fit may end with nothing, because the members miss the signal or because there is none. So all members are started
    again until two of them agree that there is some, or `restarts` is used up. The best ones are kept.
    """
    background = needs["sideband"].modules["density"]
    assert isinstance(background, ConditionalDensity)
    data = task.events("data")
    window = residual.window_of(background, data[task.inside(data)], task.window, run.device)
    fixed = settings.fraction if settings.of_truth is None else _of_truth(task, settings.of_truth)
    held_out = round(len(window.position) * settings.training.validation)

    states: list[dict[str, Tensor]] = []
    gains = np.empty(0)  # held-out log-likelihood ratio of each member to the background alone
    crossed = np.empty(0)  # the same of each half of these events, with the best look chosen on the other half
    while len(states) <= settings.restarts:
        name = "signal" if not states else f"signal_{len(states) + 1}"
        mixture, progress = _trained(name, len(task.features), settings, fixed, window, run)
        states.append(mixture.state_dict())
        gains = np.append(gains, -held_out * np.array(progress.best))
        crossed = np.append(crossed, -np.array(progress.crossed))
        agree, evidence = _kept(gains, settings.least_gain), _evidence(crossed)
        if evidence > FOUND and agree.sum() > 1:
            break
    best = np.argsort(-gains, kind="stable")[: settings.members]
    mixture.load_state_dict({key: torch.cat([state[key] for state in states])[best] for key in states[0]})
    kept = _kept(gains[best], settings.least_gain)
    fractions = torch.sigmoid(mixture.fraction.detach()).cpu().numpy()
    numbers = {
        "signal_fraction": float(np.median(fractions[kept])),
        "members_kept": int(kept.sum()),
        "fractions": fractions.tolist(),
        "gains": [gain if math.isfinite(gain) else None for gain in gains.tolist()],
        "attempts": len(states),
        "agree": int(agree.sum()),
        "evidence": evidence,
        "found": evidence > FOUND,
    }
    return Fitted(_modules(_signal(background, mixture, settings, task, kept).to(run.device)), numbers=numbers)


def _trained(
    name: str, features: int, settings: Settings, fixed: float | None, window: residual.Window, run: Run
) -> tuple[Mixture, Progress]:
    """A trained stack, and how its training went."""

    def loss(model: Mixture, batch: Batch) -> Tensor:
        x, mass, place, floor = batch.rows
        return -model.gain(x.transpose(1, 2), mass.transpose(1, 2), place, floor).mean(1)

    run.seeded(name)
    mixture = Mixture(features, settings, fixed).to(run.device)
    player = Player([parameter for parameter in mixture.parameters() if parameter.requires_grad], loss, halves=True)
    progress = run_fit(name, mixture, [player], window.tensors, settings.training, run, settings.members)
    return mixture, progress


def _kept(gains: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Members near the best one; all if none gains anything.

    The authors drop failed retrainings by a cut chosen by hand for each injection; this rule needs no truth.
    """
    return gains >= least * gains.max() if gains.max() > 0 else np.full(len(gains), True)


def _evidence(crossed: NDArray[np.float64]) -> float:
    """Log of the mean likelihood ratio on events that had no part in the training or in the choice of the best look."""
    return float(np.logaddexp.reduce(crossed) - math.log(len(crossed)))


def _of_truth(task: Task, times: float) -> float:
    """A multiple of the true signal fraction of the window's data, within `FRACTIONS`."""
    label = events.read(task.path, ["label"], "truth")["label"]
    return float(np.clip(times * np.mean(label[task.inside(task.events("data"))]), *FRACTIONS))


def _signal(
    background: ConditionalDensity, mixture: Mixture, settings: Settings, task: Task, kept: NDArray[np.bool_]
) -> SignalDensity:
    signal = SignalDensity(background, settings.flow, settings.members, settings.mass_bins)
    signal.flow.load_state_dict(mixture.flow.state_dict())
    signal.mass.copy_(mixture.mass.detach())
    signal.window.copy_(torch.tensor(task.window))
    signal.keep(torch.from_numpy(kept))
    return signal

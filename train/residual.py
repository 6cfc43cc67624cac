"""What is fitted to the events of a window beside a frozen background: R-ANODE's mixture (arXiv:2312.11629)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.events.task import Range
from sideband.train.likelihood import log_density, noise_of, preprocessed
from sideband.train.nets.flow import ConditionalDensity, log_normal

MASS_BINS = 49  # of the histogram for p(m): R-ANODE's code


@dataclass(frozen=True)
class Window:
    """Events of a window as the flows of a signal see them, on the device.

    Args:
        x: preprocessed features, or the background flow's noise, `[N, d]`.
        mass: scaled masses `[N, 1]`.
        position: places in the window `[N]`, from -1 to 1.
        log_background: log of the background's density of `x` and of the position `[N]`.
    """

    x: Tensor
    mass: Tensor
    position: Tensor
    log_background: Tensor

    @property
    def tensors(self) -> list[Tensor]:
        """Everything, in order."""
        return [self.x, self.mass, self.position, self.log_background]


def window_of(
    background: ConditionalDensity, table: Events, edges: Range, device: torch.device, in_noise: bool = False
) -> Window:
    """The events of a window, all of them inside it.

    The mass has the density of the data themselves: a resonance of a few per cent does not change it.

    Args:
        background: p_B(x|m).
        table: the events.
        edges: the window.
        device: where the tensors are to be.
        in_noise: whether `x` is the background flow's noise; there its density is standard normal at every mass.
    """
    x, mass = preprocessed(background, table, device)
    low, high = edges
    position = (2 * (table.mass - low) / (high - low) - 1).astype(np.float32)
    counts, bins = np.histogram(position, MASS_BINS, range=(-1, 1), density=True)
    own = np.clip(np.digitize(position, bins) - 1, 0, MASS_BINS - 1)
    log_mass = torch.from_numpy(np.log(counts[own]).astype(np.float32)).to(device)
    if in_noise:
        x = noise_of(background, x, mass)
        log_background = log_normal(x.T)
    else:
        log_background = log_density(background.flow, x, mass)
    return Window(x, mass, torch.from_numpy(position).to(device), log_background + log_mass)


def gain(log_ratio: Tensor, log_odds: Tensor) -> Tensor:
    """Log-likelihood ratio of w p_S + (1 - w) p_B to p_B alone.

    Args:
        log_ratio: log p_S - log p_B of each event.
        log_odds: log of w / (1 - w).
    """
    return torch.logaddexp(
        functional.logsigmoid(log_odds) + log_ratio, functional.logsigmoid(-log_odds).expand_as(log_ratio)
    )

"""Invertible transport of events: flows that start as the identity, conditioned on the masses of both ends.

Tensors inside the flows are feature-major, `[members, features, events]`, as in `flow.py`.
"""

import torch
from torch import Tensor, nn

from sideband.infer.inputs import Drawn, Rows
from sideband.train.nets.flow import Coupling, Flow, FlowSettings, identity
from sideband.train.nets.marginals import Marginals
from sideband.train.nets.preprocessing import MassScale


def ends(here: Tensor, there: Tensor) -> Tensor:
    """The condition `[1, 2, N]` of a way between masses `[1, 1, N]`, the same for the way back.

    It holds the distance and the lower mass, as the paper's code may: with the distance alone, one map would serve all
    starting masses. The base of `quick` gives what it carries a -log p lower by 0.02 for knowing both.
    """
    return torch.cat([(there - here).abs(), torch.minimum(here, there)], 1)


class Anchored(Coupling):
    """A coupling that leaves the identity in proportion to its first condition, a distance in mass: none, no change."""

    def shapes(self, kept: Tensor, condition: Tensor) -> Tensor:
        """The parameters `[M, 3K - 1, changed, N]` of the splines."""
        return super().shapes(kept, condition) * condition[:, None, :1]


class MassTransport(nn.Module):
    """Source events `[N, d]` at masses `[N, 1]` → events `[N, d]` at masses `condition` `[N, 1]`, physical units.

    One flow serves both directions, as in CURTAINs (arXiv:2203.09470): it raises the mass of an event, and its inverse
    lowers it. The way back undoes the way there. The flow sees features with normal marginals at every mass, so that
    before its training it moves the marginals alone.

    Args:
        features: number of features d.
        settings: shape of the flow.
    """

    def __init__(self, features: int, settings: FlowSettings) -> None:
        super().__init__()
        self.marginals = Marginals(features)
        self.mass = MassScale()
        self.flow = identity(Flow(features, 2, settings, coupling=Anchored))
        rows = Rows("data", "sidebands", "turn")  # a classifier would recognise copies
        self.drawn: dict[str, Drawn] = {"source": rows, "source_condition": rows}

    def forward(self, condition: Tensor, source: Tensor, source_condition: Tensor) -> Tensor:
        """Carry each source event to its target mass."""
        here, there = self.mass(source_condition), self.mass(condition)
        x, _ = self.marginals(source, self.marginals.shapes(here))
        arrived = self.moved(x.T[None], here.T[None], there.T[None])[0].T
        return self.marginals.inverse(arrived, self.marginals.shapes(there))

    def moved(self, x: Tensor, here: Tensor, there: Tensor) -> Tensor:
        """Normal features `[1, d, N]` carried from one scaled mass `[1, 1, N]` to another."""
        way = ends(here, there)
        return torch.where(here <= there, self.flow.latent(x, way)[0], self.flow.inverse(x, way)[0])

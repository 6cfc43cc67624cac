"""zuko's neural spline flow (arXiv:1906.04032), as the example of zuko's README has it."""

import zuko
from torch import Tensor

from sideband.train.peers import Peer

TITLE = "zuko NSF"
PACKAGE = "zuko"
SETTINGS = "README of zuko: 3 autoregressive transforms of 8 bins, 3 layers of 128"


def build(features: int) -> Peer:
    """The flow."""
    return of(zuko.flows.NSF(features, 1, transforms=3, hidden_features=[128] * 3))


def of(flow: zuko.flows.Flow) -> Peer:
    """A flow of zuko's, trained by maximum likelihood."""

    def loss(x: Tensor, mass: Tensor) -> Tensor:
        return -flow(mass).log_prob(x).mean()

    return Peer(flow, loss, lambda mass: flow(mass).sample())

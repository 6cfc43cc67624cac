"""zuko's masked autoregressive flow (arXiv:1705.07057), in the shape that CATHODE's authors chose for theirs."""

import zuko

from sideband.train.peers import Peer
from sideband.train.peers.zuko_nsf import of

TITLE = "zuko MAF"
PACKAGE = "zuko"
SETTINGS = "shape of CATHODE's flow (arXiv:2109.00546): 15 affine transforms, 1 layer of 128"


def build(features: int) -> Peer:
    """The flow."""
    return of(zuko.flows.MAF(features, 1, transforms=15, hidden_features=[128]))

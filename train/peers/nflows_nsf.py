"""nflows' autoregressive spline flow (arXiv:1906.04032), in the shape that R-ANODE's authors chose for theirs."""

from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.transforms.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressiveTransform
from nflows.transforms.base import CompositeTransform
from nflows.transforms.permutations import ReversePermutation
from torch import Tensor

from sideband.train.peers import Peer

TITLE = "nflows NSF"
PACKAGE = "nflows"
SETTINGS = "shape of R-ANODE's flow (arXiv:2312.11629): 6 autoregressive transforms of 8 bins, 2 blocks of 64"


def build(features: int) -> Peer:
    """The flow, trained by maximum likelihood; permutations as in nflows' example `conditional_moons`."""
    shape = {"context_features": 1, "hidden_features": 64, "num_blocks": 2, "num_bins": 8}
    layers = []
    for _ in range(6):
        layers.append(ReversePermutation(features))
        layers.append(
            MaskedPiecewiseRationalQuadraticAutoregressiveTransform(features, **shape, tails="linear", tail_bound=8.0)
        )
    flow = Flow(CompositeTransform(layers), StandardNormal([features]))

    def loss(x: Tensor, mass: Tensor) -> Tensor:
        return -flow.log_prob(x, context=mass).mean()

    return Peer(flow, loss, lambda mass: flow.sample(1, context=mass)[:, 0])

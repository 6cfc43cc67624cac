"""Flow matching (arXiv:2210.02747) with torchcfm's matcher and network, as its tutorial has it."""

import torch
from torch import Tensor
from torchcfm.conditional_flow_matching import ConditionalFlowMatcher
from torchcfm.models import MLP
from torchdiffeq import odeint

from sideband.train.peers import Peer

TITLE = "torchcfm I-CFM"
PACKAGE = "torchcfm"
SETTINGS = "tutorial of torchcfm with 256 units for 64 and σ = 0: MLP of 3 layers; dopri5 at 1e-4 (torchdiffeq)"


def build(features: int) -> Peer:
    """The velocity, with the mass as a further input, and its flow from noise at t = 0 to events at t = 1."""
    net = MLP(features + 1, out_dim=features, w=256, time_varying=True)
    matcher = ConditionalFlowMatcher(sigma=0.0)

    def loss(x: Tensor, mass: Tensor) -> Tensor:
        time, path, velocity = matcher.sample_location_and_conditional_flow(torch.randn_like(x), x)
        return (net(torch.cat([path, mass, time[:, None]], 1)) - velocity).square().mean()

    def sample(mass: Tensor) -> Tensor:
        def velocity(time: Tensor, x: Tensor) -> Tensor:
            return net(torch.cat([x, mass, time.expand(len(x), 1)], 1))

        noise, span = torch.randn(len(mass), features), torch.tensor([0.0, 1.0])
        return odeint(velocity, noise, span, atol=1e-4, rtol=1e-4, method="dopri5")[-1]

    return Peer(net, loss, sample)

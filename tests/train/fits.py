"""Comparing saved fits, and flows far from the identity."""

import torch

from sideband.train.nets.flow import Flow


def same(one: object, other: object) -> bool:
    """Whether two saved fits are bitwise the same."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return one == other


def rough(flow: Flow, scale: float = 0.3) -> Flow:
    """A flow far from the identity, in float64: before training, its last layers are near zero."""
    random = torch.Generator().manual_seed(7)
    for coupling in flow.couplings:
        for parameter in coupling.last.parameters():
            parameter.data = scale * torch.randn(parameter.shape, generator=random)
    return flow.double()

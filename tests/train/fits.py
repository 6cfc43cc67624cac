"""Comparing saved fits, flows far from the identity, and marginals that know no mass."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from sideband.benchmarks.events.task import Task
from sideband.train.methods.shared import marginals
from sideband.train.nets.flow import Flow
from sideband.train.run import Run


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


def plain_marginals(task: Task, run: Run) -> dict[str, Any]:
    """The shared fit of marginals by their quantiles alone, as a fit that stands on it is given it."""
    settings = marginals.Settings(training=replace(marginals.TRAINING, steps=0))
    return {"marginals": SimpleNamespace(settings=settings, modules=marginals.fit(task, settings, {}, run).modules)}

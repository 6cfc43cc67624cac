"""What goes into a module and what comes out, by name: the same names in training, in the graph and in deployment."""

import inspect
from typing import Any

import torch
from torch import nn

from sideband.benchmarks import catalogue
from sideband.train.nets.preprocessing import LogitStandardise

OUTPUT = {"template": "features", "score": "score", "density": "log_density"}


def inputs(module: nn.Module, features: int) -> dict[str, int]:
    """Columns of each input of a module, in order.

    The names are those of `forward`: `noise`, `condition` (the mass), `source` and `source_condition` (events a
    template starts from, and their mass), `anchor_low` and `anchor_high` (the masses a method interpolates between),
    `features`. A module that takes other than one noise number a feature says so as `noise_columns`.
    """
    widths = {
        "noise": int(getattr(module, "noise_columns", features)),
        "condition": 1,
        "source": features,
        "source_condition": 1,
        "anchor_low": 1,
        "anchor_high": 1,
        "features": features,
    }
    return {name: widths[name] for name in inspect.signature(module.forward).parameters}


def drawing(
    module: nn.Module, features: int, method: str, settings: Any, seed: int
) -> tuple[dict[str, int], str | None, int, float | None]:
    """What to ask `infer.draws.from_task` for a method's template, the task apart: inputs, source, seed, margin."""
    margin = getattr(settings, "anchor_margin", None)
    return inputs(module, features), catalogue.get(method).source, seed, margin


def fitted_ranges(module: nn.Module) -> list[tuple[float, float]] | None:
    """The range of each feature that a module's preprocessing was fitted in, None if it has no preprocessing."""
    for part in module.modules():
        if isinstance(part, LogitStandardise):
            return part.ranges()
    return None


@torch.no_grad()
def run(module: nn.Module, feeds: dict[str, torch.Tensor]) -> torch.Tensor:
    """Call a module on named inputs."""
    result: torch.Tensor = module(**feeds)
    return result

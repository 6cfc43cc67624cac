"""What goes into a module and what comes out, by name: the same in training, in the graph and in deployment."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer import meaning
from sideband.infer.inputs import Constant, Drawn, Noise, Target
from sideband.infer.meaning import Meaning
from sideband.infer.metadata import Port
from sideband.train.nets.preprocessing import LogitStandardise

OUTPUTS = {
    "template": ("features", "weight"),
    "signal": ("features", "mass"),
    "score": ("score",),
    "density": ("log_density",),
    "encoder": ("latent",),
}


def inputs(module: nn.Module, task: Task) -> dict[str, Port]:
    """The inputs of a module, in order, by the names of its `forward`.

    `noise` holds one number a feature, or as many as the module's `noise_columns` says. `condition`, and every name
    that ends in it, is a mass. `features`, and every other name, holds the task's features. A template says in its
    `drawn` how each input is drawn; by default noise is normal and the condition is the target mass.
    """
    drawn: dict[str, Drawn] = {"noise": Noise(), "condition": Target(), **getattr(module, "drawn", {})}
    return {name: _port(name, module, task, drawn.get(name)) for name in inspect.signature(module.forward).parameters}


def _port(name: str, module: nn.Module, task: Task, drawn: Drawn | None) -> Port:
    if name == "noise":
        return Port(("noise",), ("",), (int(getattr(module, "noise_columns", task.width)),), drawn)
    if isinstance(drawn, Constant):
        return Port((name,), (task.units[task.mass],), (1,), drawn)
    if name.endswith("condition"):
        return Port((task.mass,), (task.units[task.mass],), (1,), drawn)
    return features(task, drawn)


def mass(task: Task) -> Port:
    """The mass of a task, as an output."""
    return Port((task.mass,), (task.units[task.mass],), (1,))


def features(task: Task, drawn: Drawn | None = None) -> Port:
    """The features of a task, side by side."""
    return Port(tuple(task.features), tuple(task.units[name] for name in task.features), widths(task), drawn)


def widths(task: Task) -> tuple[int, ...]:
    """Numbers an event of each feature of a task."""
    return tuple(task.features.values())


def fitted_ranges(module: nn.Module) -> list[tuple[float, float]] | None:
    """The range of each feature that a module's preprocessing was fitted in; None if it has no preprocessing."""
    for part in module.modules():
        if isinstance(part, LogitStandardise):
            return part.ranges()
    return None


@torch.no_grad()
def run(module: nn.Module, feeds: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Call a module on named inputs; its outputs in order."""
    result: Any = module(**feeds)
    return result if isinstance(result, tuple) else (result,)


def named(role: str, number: int) -> tuple[str, ...]:
    """The names of the outputs of a module that plays a role and gives so many."""
    return OUTPUTS[role][:number]


def outputs(names: Iterable[str], module: nn.Module | None, task: Task) -> dict[str, Port]:
    """The outputs of a module, in order; None stands for trees.

    A module that scores says in its `meaning` what its numbers are; those of trees are probabilities.
    """
    known = {
        "features": features(task),
        "mass": mass(task),
        "weight": _number("weight", meaning.WEIGHT),
        "score": _number("score", meaning.PROBABILITY if module is None else getattr(module, "meaning", None)),
        "log_density": _number("log_density", meaning.LOG_DENSITY),
        "latent": Port(("latent",), ("",), (getattr(module, "latent_width", 0),), meaning=meaning.LATENT),
    }
    return {name: known[name] for name in names}


def _number(name: str, means: Meaning | None) -> Port:
    return Port((name,), ("",), (1,), meaning=means)

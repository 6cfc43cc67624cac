"""CATHODE: sample the sidebands' density at signal-region masses, classify data against the samples.

A. Hallin et al., "Classifying Anomalies THrough Outer Density Estimation", arXiv:2109.00546.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.flow import ConditionalDensity, DensitySampler
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """None of its own: the density is the shared sideband fit, oversampling and classifier are the suite's."""


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    return {"template": DensitySampler(ConditionalDensity(features, needs["sideband"].flow))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier."""
    density = needs["sideband"].modules["density"]
    assert isinstance(density, ConditionalDensity)
    return Fitted({"template": DensitySampler(density)})

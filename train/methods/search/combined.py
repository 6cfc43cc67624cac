"""Combined scores: the mean of the calibrated scores of several methods, each of its own template.

T. Golling et al., "The Interplay of Machine Learning-based Resonant Anomaly Detection Methods", arXiv:2307.11157. The
calibration is ours: a score f is shifted until f / (1 - f), the ratio of the data's density to the template's, has the
mean 1 on its template, as such a ratio has. Nothing is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.infer.errors import BadInput
from sideband.train.classifiers.merge import merged, shift
from sideband.train.methods import TEMPLATE, Fitted, Needed
from sideband.train.run import Run
from sideband.train.template import read


@dataclass(frozen=True)
class Settings:
    """The entries whose scores are combined."""

    of: tuple[str, ...] = ()


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """No module: the merged classifier is all there is."""
    return {}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Shift the classifier of each method, and merge them all."""
    classifiers, shifts = [], []
    for name in settings.of:
        classifier = needs[name].classifier
        if "template" not in needs[name].modules or "encoder" in needs[name].modules or classifier is None:
            raise BadInput(f"combined.of: '{name}' has no classifier of the features against a template; remove it")
        made = read(needs[name].folder / TEMPLATE, task)
        classifiers.append(classifier)
        shifts.append(shift(classifier, made.events.features, made.weight))
    numbers = {"shifts": dict(zip(settings.of, shifts, strict=True))}
    return Fitted(classifier=merged(classifiers, shifts), numbers=numbers)

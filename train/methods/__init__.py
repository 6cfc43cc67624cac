"""One method, one file; `benchmarks/catalogue.py` lists them. No method imports another.

A method file holds

- `Settings`: a frozen dataclass, the paper's values as defaults;
- `build(settings, features, needs)`: its modules by role, untrained, from settings alone, so that a saved fit can be
  opened again. `features` is their number; `needs` the settings of the shared fits it stands on, and an `Other` for
  each fit of another method;
- `fit(task, settings, needs, run)`: a `Fitted`. `needs` are those fits, opened.

Modules take physical units and give physical units: the module that is trained is the module that is exported.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sideband.benchmarks import catalogue
from sideband.benchmarks.events.tables import Events
from sideband.infer.errors import BadInput
from sideband.train.classifiers.step import Classifier
from sideband.train.settings import settings_from

ROWS = "source.h5"  # the file beside a fit that holds the rows of a template of its own
TEMPLATE = "template_torch.h5"  # the file beside it that holds its training template


@dataclass(frozen=True)
class Contrast:
    """Two samples `[N, d]` for the classifier step of a method that makes no template, the second with weights."""

    positive: NDArray[np.float32]
    negative: NDArray[np.float32]
    weight: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves.

    Args:
        modules: the modules by role. An "encoder" takes features and mass to a space where the classifier works.
        contrast: the two samples of the classifier, for a method that makes no template.
        classifier: the score itself, for a method that makes it from the classifiers of others.
        rows: events that the template takes from a file of its own, by group.
        numbers: numbers worth keeping.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    contrast: Contrast | None = None
    classifier: Classifier | None = None
    rows: dict[str, Events] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)


class Needed(Protocol):
    """A fit that another one stands on, opened: its settings, its modules, and the folder that it lies in."""

    settings: Any
    modules: dict[str, nn.Module]
    classifier: Classifier | None
    folder: Path


@dataclass(frozen=True)
class Other:
    """The fit of another method that one stands on, as far as settings tell.

    Args:
        method: its name; settings: its settings.
        needs: what `build` of that method takes.
    """

    method: str
    settings: Any
    needs: Mapping[str, Any]

    def build(self, features: int) -> dict[str, nn.Module]:
        """Its modules by role, untrained."""
        modules: dict[str, nn.Module] = load(self.method).build(self.settings, features, self.needs)
        return modules


def load(name: str) -> Any:
    """The file of a method, as a module; raises `BadInput` for an unknown one."""
    entry = catalogue.get(name)
    room = "shared" if entry.shared else entry.problem
    return importlib.import_module(f"sideband.train.methods.{room}.{entry.file or name}")


def settings(name: str, given: Mapping[str, Any], where: str) -> Any:
    """The settings of a method: the file's defaults, the catalogue's preset, and what is given; as `settings_from`.

    A class of settings whose `reads_truth` is true is for references alone.
    """
    entry = catalogue.get(name)
    found = settings_from(load(name).Settings, {**entry.preset, **given}, where)
    if getattr(found, "reads_truth", False) and not entry.truth:
        raise BadInput(f"{where}: would read the truth, and '{name}' is no reference; take the entry that is one")
    return found

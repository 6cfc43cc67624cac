"""Mixed templates: events of several methods' templates in equal shares, and one classifier on them all.

T. Golling et al., "The Interplay of Machine Learning-based Resonant Anomaly Detection Methods", arXiv:2307.11157. Where
the methods err in different directions, the mixture is nearer to the background than each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sideband.benchmarks.events.tables import join
from sideband.benchmarks.events.task import Task
from sideband.infer.draws import generator
from sideband.infer.inputs import Rows
from sideband.train.methods import ROWS, TEMPLATE, Fitted, Needed
from sideband.train.nets.rows import Unchanged
from sideband.train.run import Run
from sideband.train.template import read


@dataclass(frozen=True)
class Settings:
    """The entries whose templates are mixed."""

    of: tuple[str, ...] = ()


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template, which has no weights."""
    return _modules()


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Draw as many events of each template as make one of the usual size, and shuffle them."""
    parts = []
    for name in settings.of:
        made = read(needs[name].folder / TEMPLATE, task)
        weight = np.ones(len(made)) if made.weight is None else made.weight.astype(np.float64)
        number = len(made) // len(settings.of)
        parts.append(made.events[chosen(weight, number, generator(task.seed, f"mixed {name}", 0))])
    mixture = join(*parts)
    order = generator(task.seed, "mixed", 0).permutation(len(mixture))
    return Fitted(_modules(), rows={"mixed": mixture[order]})


def _modules() -> dict[str, nn.Module]:
    return {"template": Unchanged(Rows("mixed", order="turn", file=ROWS))}


def chosen(weight: NDArray[np.float64], number: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a weighted sample `[N]` whose expected number is in proportion to the weights: systematic sampling.

    None comes twice whose weight is below the sum of all over `number`.
    """
    order = random.permutation(len(weight))
    edges = np.cumsum(weight[order])
    places = (np.arange(number) + random.random()) / number * edges[-1]
    return order[np.minimum(np.searchsorted(edges, places, side="right"), len(weight) - 1)]

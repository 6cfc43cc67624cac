"""Mixed templates: events of several methods' templates in equal shares, and one classifier on them all.

T. Golling et al., "The Interplay of Machine Learning-based Resonant Anomaly Detection Methods", arXiv:2307.11157. Where
the methods err in different directions, the mixture is nearer to the background than each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sideband.benchmarks.events.tables import join
from sideband.benchmarks.events.task import Task
from sideband.infer.draws import generator
from sideband.infer.inputs import Rows
from sideband.train.methods import ROWS, TEMPLATE, Fitted, Needed
from sideband.train.run import Run
from sideband.train.template import read


@dataclass(frozen=True)
class Settings:
    """The entries whose templates are mixed."""

    of: tuple[str, ...] = ()


class Kept(nn.Module):
    """Events of the mixture at their own masses: features `[N, d]` and mass `[N, 1]` → the same features."""

    def __init__(self) -> None:
        super().__init__()
        rows = Rows("mixed", order="turn", file=ROWS)
        self.drawn = {"condition": rows, "source": rows}

    def forward(self, condition: Tensor, source: Tensor) -> Tensor:
        """The events."""
        return source + 0.0 * condition  # an input that nothing takes would not be in the graph


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template, which has no weights."""
    return {"template": Kept()}


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
    return Fitted({"template": Kept()}, rows={"mixed": mixture[order]})


def chosen(weight: NDArray[np.float64], number: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a weighted sample `[N]` whose expected number is in proportion to the weights: systematic sampling.

    None comes twice whose weight is below the sum of all over `number`.
    """
    order = random.permutation(len(weight))
    edges = np.cumsum(weight[order])
    places = (np.arange(number) + random.random()) / number * edges[-1]
    return order[np.minimum(np.searchsorted(edges, places, side="right"), len(weight) - 1)]

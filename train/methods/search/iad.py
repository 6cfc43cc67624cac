"""The idealised detector: signal-region data against true background, what a perfect template would give.

It gets as many events as templates have, if the reference holds so many. A detector with more background than there are
data in the window is called over-idealised (arXiv:2312.10130), because no sample of real events could be so large.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.infer.draws import generator
from sideband.train.methods import Contrast, Fitted, Needed
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """None of its own."""


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """No module: the classifier is all there is."""
    return {}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Data in the window against the reference background there."""
    data, reference = task.events("data"), task.events("reference")
    inside = data.features[task.inside(data)]
    background = reference.features[reference.label == 0]
    order = generator(task.seed, "idealised", 0).permutation(len(background))
    background = background[order[: int(task.attributes["oversampling"]) * len(inside)]]
    return Fitted(contrast=Contrast(inside, background), numbers={"background_events": len(background)})

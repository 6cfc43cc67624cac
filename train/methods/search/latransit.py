"""LaTRANSIT: the classifier works on TRANSIT's encodings, so that a cut does not shape the mass spectrum.

I. Oleksiyuk, S. Voloshynovskiy, T. Golling, "TRANSIT your events into a new mass", arXiv:2503.04342. The consistency
loss makes the encoder forget the mass. The classifier compares the window's data with the sideband events themselves,
both encoded at their own masses. Nothing is generated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from sideband.benchmarks.events.task import Task
from sideband.infer.inputs import Rows
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.morph import Encoder, Morph
from sideband.train.nets.rows import Unchanged
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """None of its own: the encoder is the shared fit's."""


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template and the encoder."""
    (shared,) = needs.values()
    return _modules(Morph(features, shared.net))


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier."""
    (shared,) = needs.values()
    morph = shared.modules["morph"]
    assert isinstance(morph, Morph)
    return Fitted(_modules(morph))


def _modules(morph: Morph) -> dict[str, nn.Module]:
    return {"template": Unchanged(Rows("data", "sidebands", order="turn")), "encoder": Encoder(morph)}

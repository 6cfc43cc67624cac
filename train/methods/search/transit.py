"""TRANSIT: sideband events morphed to signal-region masses by an encoder and a decoder trained against a critic.

I. Oleksiyuk, S. Voloshynovskiy, T. Golling, "TRANSIT your events into a new mass", arXiv:2503.04342. The morph is a fit
that the template shares with LaTRANSIT.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.inputs import Rows
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.morph import Morph
from sideband.train.run import Run


@dataclass(frozen=True)
class Settings:
    """None of its own: the morph is the shared fit's."""


class Morphed(nn.Module):
    """Sideband events `[N, d]` at masses `[N, 1]` → events `[N, d]` at masses `condition` `[N, 1]`, physical units."""

    def __init__(self, morph: Morph) -> None:
        super().__init__()
        self.morph = morph
        # In turn, not at random: copies of an event would give the template away, however well it is morphed.
        rows = Rows("data", "sidebands", order="turn")
        self.drawn = {"source": rows, "source_condition": rows}

    def forward(self, condition: Tensor, source: Tensor, source_condition: Tensor) -> Tensor:
        """Morph each source event to its target mass."""
        return self.morph(source, source_condition, condition)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template."""
    (shared,) = needs.values()
    return {"template": Morphed(Morph(features, shared.net))}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Nothing is left to fit before the classifier."""
    (shared,) = needs.values()
    morph = shared.modules["morph"]
    assert isinstance(morph, Morph)
    return Fitted({"template": Morphed(morph)})

"""What the numbers of an output are, where its columns do not say it: a score above all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Meaning:
    """What the numbers of an output are, and the range that they lie in.

    >>> Meaning("a classifier's probability", 0.0, 1.0).range, Meaning("minus the log-density").range
    ('0 to 1', 'any number')
    >>> Meaning("number of hit voxels", 0.0).range
    '0 or more'
    """

    text: str
    low: float | None = None
    high: float | None = None

    @property
    def range(self) -> str:
        """The range in words."""
        if self.low is None:
            return "any number" if self.high is None else f"{self.high:g} or less"
        return f"{self.low:g} or more" if self.high is None else f"{self.low:g} to {self.high:g}"


PROBABILITY = Meaning("a classifier's probability", 0.0, 1.0)
LOG_RATIO = Meaning("logarithm of a ratio of densities, not a probability")
SURPRISE = Meaning("minus the logarithm of a density, not a probability")
LOG_DENSITY = Meaning("logarithm of a density, not a probability")
WEIGHT = Meaning("weight of the event", 0.0)
LATENT = Meaning("what the classifier sees")


def described(meaning: Meaning | None) -> dict[str, Any]:
    """The part of an output's JSON object that `parsed` reads back.

    >>> described(Meaning("number of hit voxels", 0.0))
    {'meaning': 'number of hit voxels', 'range': [0.0, None]}
    """
    return {"meaning": meaning.text, "range": [meaning.low, meaning.high]} if meaning else {}


def parsed(port: Mapping[str, Any]) -> Meaning | None:
    """The meaning in an output's JSON object; None where it names none, as in files of earlier versions."""
    return Meaning(port["meaning"], *port["range"]) if "meaning" in port else None

"""Settings of the classifier that every method of a suite shares, and the types that its parts exchange."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from sideband.train.fit import Training
from sideband.train.settings import Count, Depth, Members, Range, Rate, Width

Array = NDArray[np.float32]
Label = NDArray[np.int8]
Weight = NDArray[np.float64]


@dataclass(frozen=True)
class ClassifierSettings:
    """The classifier of a suite; defaults as in arXiv:2309.13111."""

    kind: Literal["trees", "mlp"] = "trees"
    members: Members = 50
    # What chooses, on held-out events, where training stops: the loss, or how much stands out (arXiv:2511.14832).
    choice: Literal["loss", "argos"] = "loss"
    # trees
    iterations: Annotated[int, Range(1, 10_000)] = 200
    learning_rate: Rate = 0.1
    leaves: Annotated[int, Range(2, 10_000)] = 31
    bins: Annotated[int, Range(2, 255)] = 255
    validation: Annotated[float, Range(0, 1, above=True, below=True)] = 0.5  # share held out for early stopping
    patience: Count = 10
    # mlp
    hidden: Width = 64
    layers: Depth = 3
    training: Training = field(default_factory=lambda: Training(batch=512, interval=100, validation=0.5, ema=0.99))

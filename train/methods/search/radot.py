"""RAD-OT: events beside the window, paired by optimal transport and interpolated into it. Nothing is trained.

M. Leigh, D. Sengupta, B. Nachman, T. Golling, "Accelerating template generation in resonant anomaly detection searches
with optimal transport", arXiv:2407.19818; details as in the authors' code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.events.task import Task
from sideband.infer.draws import generator
from sideband.infer.errors import BadInput
from sideband.infer.inputs import Rows
from sideband.train.methods import ROWS, Fitted, Needed
from sideband.train.run import Run, derived_seed
from sideband.train.settings import Count, Positive, Range

QUANTILES = 1000  # of each feature's map to a normal distribution


@dataclass(frozen=True)
class Settings:
    """The authors' values: strips of 200 GeV beside a window of 400 GeV, batches of 3,000, four times the events."""

    strip: Positive = 0.5  # width of each strip, in widths of the window
    batch: Annotated[int, Range(2, 20_000)] = 3000  # events a side that are paired at once
    oversampling: Count = 4  # pairs for each event of the two strips


class Interpolation(nn.Module):
    """Pairs of events `[N, d]` and their masses `[N, 1]` → features `[N, d]` at masses `condition` `[N, 1]`."""

    def __init__(self) -> None:
        super().__init__()
        low, high = (Rows(side, order="turn", file=ROWS) for side in ("low", "high"))
        self.drawn = {"low": low, "low_condition": low, "high": high, "high_condition": high}

    def forward(
        self, condition: Tensor, low: Tensor, low_condition: Tensor, high: Tensor, high_condition: Tensor
    ) -> Tensor:
        """The point between each pair that lies at the given mass."""
        return low + (condition - low_condition) / (high_condition - low_condition) * (high - low)


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The template, which has no weights."""
    return {"template": Interpolation()}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Pair the events of the two strips, each of them several times and with other partners."""
    data = task.events("data")
    low, high = task.window
    width = settings.strip * (high - low)
    near = (data.mass > low - width) & (data.mass < high + width)
    sides = [data[near & (data.mass <= np.float32(low))], data[near & (data.mass >= np.float32(high))]]
    if min(map(len, sides)) < 2:
        raise BadInput(f"methods.radot.strip: no events within {width:g} of the window {list(task.window)}; widen it")
    number = settings.oversampling * sum(map(len, sides))
    tiled = [_tiled(side, number, run.seed, name) for side, name in zip(sides, ("low", "high"), strict=True)]
    normal = _normal(data[near].features, derived_seed(run.seed, "quantiles"))
    ours, theirs = (normal(side.features) for side in tiled)
    partners = _paired(ours, theirs, min(settings.batch, number), run)
    rows = {"low": tiled[0][: len(partners)], "high": tiled[1][partners]}
    numbers = {"sidebands": [low - width, low, high, high + width], "pairs": len(partners)}
    return Fitted({"template": Interpolation()}, rows=rows, numbers=numbers)


def _tiled(side: Events, number: int, seed: int, name: str) -> Events:
    """The events of a strip, repeated up to a number and shuffled."""
    return side[generator(seed, f"transport {name}", 0).permutation(number) % len(side)]


def _normal(features: NDArray[np.float32], seed: int) -> Any:
    """A map of features `[N, d]` that makes each of them normal; transport costs are distances after it."""
    from sklearn.preprocessing import QuantileTransformer

    quantiles = min(QUANTILES, len(features))
    return (
        QuantileTransformer(n_quantiles=quantiles, output_distribution="normal", random_state=seed % 2**32)
        .fit(features)
        .transform
    )


def _paired(low: NDArray[np.float64], high: NDArray[np.float64], batch: int, run: Run) -> NDArray[np.int64]:
    """The row of `high` that each row of `low` goes to: exact transport batch by batch, a last incomplete one left out.

    For as many events on both sides, all of equal weight, the optimal transport plan is a permutation.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    partners = []
    batches = len(low) // batch
    for index in range(batches):
        rows = slice(index * batch, (index + 1) * batch)
        _, chosen = linear_sum_assignment(cdist(low[rows], high[rows], "sqeuclidean"))
        partners.append(index * batch + chosen)
        run.progress("transport", index + 1, batches)
    return np.concatenate(partners)

"""Changes to a data set that put methods to the test: features shifted with the mass, and features that are noise."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sideband.benchmarks.events.tables import Dataset, Events
from sideband.infer.draws import generator
from sideband.infer.errors import BadInput

KEYS = ("shift", "noise")  # of a suite's dataset section


def changed(dataset: Dataset, config: Mapping[str, Any]) -> Dataset:
    """The data set with what its section asks for; all of its events alike, signal and simulation too.

    Args:
        dataset: the events as their source has them.
        config: the section. `shift` gives, by feature, the fraction of the mass to add to it, as in arXiv:2109.00546.
            `noise` is a number of further features, each a standard normal number that knows nothing of the event.

    Raises:
        BadInput: a feature to shift that is not there or has many numbers an event, or a name that is taken.
    """
    shift, noise = config.get("shift", {}), config.get("noise", 0)
    if not (shift or noise):
        return dataset
    names = tuple(f"noise{index + 1}" for index in range(noise))
    for name in names:
        if name in (dataset.mass, *dataset.features):
            raise BadInput(f"dataset.noise: the events have a column '{name}'; rename it")
    scalars = dataset.scalars
    slopes = np.zeros(len(scalars), np.float32)
    for name, slope in shift.items():
        if name not in scalars:
            raise BadInput(
                f"dataset.shift: no feature '{name}' of one number an event; there are: {', '.join(scalars)}"
            )
        slopes[scalars.index(name)] = slope

    def of(part: str, table: Events | None) -> Events | None:
        if table is None:
            return None
        numbers = generator(0, f"noise features, {part}", 0).standard_normal((len(table), noise))
        shifted = table.features + slopes * table.mass[:, None]
        return replace(table, features=np.hstack([shifted, numbers.astype(np.float32)]))

    data = of("data", dataset.data)
    assert data is not None
    told = [f"{name} + {slope:g} {dataset.mass}" for name, slope in shift.items()]
    told += [f"{noise} features of noise"] if noise else []
    return replace(
        dataset,
        features=(*dataset.features, *names),
        units={**dataset.units, **dict.fromkeys(names, "")},
        data=data,
        background=of("background", dataset.background),
        simulation=of("simulation", dataset.simulation),
        description="; ".join([dataset.description, *told]),
    )

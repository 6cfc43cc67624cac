"""Whole numbers among the features, such as counts: found once in the data, and smeared in every task.

A generator of continuous numbers never draws a whole one, so a classifier would tell any template from data at once.
With uniform noise from -½ to ½ such a feature is continuous for everybody, and floor(x + ½) is what it was.
"""

from dataclasses import replace

import numpy as np

from sideband.benchmarks.events.tables import Dataset, Events
from sideband.infer.draws import generator

HALF = np.float32(0.5)
LARGEST = np.float32(2**22)  # from there on float32 holds nothing but whole and half numbers, so a column says nothing


def noted(dataset: Dataset) -> Dataset:
    """The data set with the names of its features of whole numbers.

    They are found in all the data, so every task agrees on them. Flags are whole numbers too, because no generator
    draws 0 and 1. A feature of one value alone is none: noise would make something of nothing.
    """
    values = dataset.data.features
    low, high = values.min(0), values.max(0)
    right = (values == np.rint(values)).all(0) & (low < high) & (np.maximum(-low, high) < LARGEST)
    whole = tuple(name for name, each in zip(dataset.scalars, right, strict=True) if each)
    if not whole:
        return dataset
    return replace(dataset, whole=whole, description=f"{dataset.description}; smeared: {', '.join(whole)}")


def smeared(dataset: Dataset, seed: int) -> Dataset:
    """The data set with noise on its whole numbers, in all of its events alike; the data set itself if it has none.

    The noise of an event depends on the seed alone, so all windows and injections of a seed have the same events. The
    mass keeps its values: nobody generates it, since template events take the masses of data.
    """
    if not dataset.whole:
        return dataset
    columns = [dataset.scalars.index(name) for name in dataset.whole]

    def of(part: str, table: Events) -> Events:
        uniform = generator(seed, f"whole numbers, {part}", 0).random((len(table), len(columns)), np.float32)
        features = table.features.copy()
        number = features[:, columns]
        # In float32 the sum may round up to the edge, where the next number's bin begins.
        features[:, columns] = np.minimum(number + (uniform - HALF), np.nextafter(number + HALF, number))
        return replace(table, features=features)

    return replace(
        dataset,
        data=of("data", dataset.data),
        background=None if dataset.background is None else of("background", dataset.background),
        simulation=None if dataset.simulation is None else of("simulation", dataset.simulation),
    )

"""Tables of events, and the data set that a suite draws its tasks from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.infer import events

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Events:
    """A table of events: mass `[N]`, features `[N, d]`, and labels `[N]` (1 = signal) where they are known."""

    mass: Array
    features: Array
    label: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.mass)

    def __getitem__(self, rows: Any) -> "Events":
        return Events(self.mass[rows], self.features[rows], None if self.label is None else self.label[rows])

    def columns(self, mass: str, features: tuple[str, ...]) -> events.Columns:
        """The table as named columns, without the label."""
        return {mass: self.mass, **{name: self.features[:, index] for index, name in enumerate(features)}}


def join(*parts: Events) -> Events:
    """Events of several tables one after the other; labelled if every part is."""
    labels = [part.label for part in parts if part.label is not None]
    return Events(
        np.concatenate([part.mass for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate(labels) if len(labels) == len(parts) else None,
    )


@dataclass(frozen=True)
class Dataset:
    """All events a suite may use.

    Args:
        mass, features: column names; units: the unit of each column.
        data: the events of the search: background, and signal too where the source is labelled.
        background: further true background for references and tests; None where the source has none.
        simulation: an alternative simulation of the background; None where the source has none.
        description: what it is, for the report.
        sha256: digest of everything above that came from files.
    """

    mass: str
    features: tuple[str, ...]
    units: dict[str, str]
    data: Events
    background: Events | None
    simulation: Events | None
    description: str
    sha256: str

    @property
    def labelled(self) -> bool:
        """Whether the truth is known."""
        return self.data.label is not None

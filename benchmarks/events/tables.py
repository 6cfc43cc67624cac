"""Tables of events, and the data set that a suite draws its tasks from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sideband.infer import events, rows

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Events:
    """A table of events.

    Args:
        mass: `[N]`.
        features: `[N, d]`; without the wide features of a data set, which stay in its files.
        label: `[N]`, 1 for signal and 0 for background; None where that is not known.
        rows: `[N]`, where each event stands in the files of its data set; None if it has no files of its own.
    """

    mass: Array
    features: Array
    label: NDArray[np.int8] | None = None
    rows: NDArray[np.integer] | None = None

    def __len__(self) -> int:
        return len(self.mass)

    def __getitem__(self, chosen: Any) -> "Events":
        optional = (None if values is None else values[chosen] for values in (self.label, self.rows))
        return Events(self.mass[chosen], self.features[chosen], *optional)

    def columns(self, mass: str, features: tuple[str, ...]) -> events.Columns:
        """The table as named columns, without the label."""
        return {mass: self.mass, **{name: self.features[:, index] for index, name in enumerate(features)}}


def join(*parts: Events) -> Events:
    """Events of several tables one after the other; labelled if every part is."""
    return Events(
        np.concatenate([part.mass for part in parts]),
        np.concatenate([part.features for part in parts]),
        _together([part.label for part in parts]),
        _together([part.rows for part in parts]),
    )


def _together(columns: list[Any]) -> Any:
    return None if any(values is None for values in columns) else np.concatenate(columns)


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
        wide: the shape of an event of each feature that has more than one number.
        files: every file with the number of its events; `Events.rows` runs through them, and wide features are there.
        whole: the features that hold nothing but whole numbers, which tasks smear.
    """

    mass: str
    features: tuple[str, ...]
    units: dict[str, str]
    data: Events
    background: Events | None
    simulation: Events | None
    description: str
    sha256: str
    wide: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    files: tuple[tuple[Path, int], ...] = ()
    whole: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether the truth is known."""
        return self.data.label is not None

    @property
    def scalars(self) -> tuple[str, ...]:
        """The features of one number an event, as `Events.features` has them."""
        return tuple(name for name in self.features if name not in self.wide)

    def write(self, group: h5py.Group, table: Events) -> None:
        """Write events into an open group of a task: their numbers, and of wide features the rows in their files."""
        events.write(group, table.columns(self.mass, self.scalars), self.units)
        for name, shape in self.wide.items():
            assert table.rows is not None
            rows.write(group, name, table.rows, shape, self.files, self.units[name])

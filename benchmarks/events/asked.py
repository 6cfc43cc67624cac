"""Files of events and what a command line says of them, as a suite's `dataset` section would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sideband.benchmarks.events import layout, own
from sideband.benchmarks.events.formats import Place, format_of, opened
from sideband.benchmarks.events.formats.expressions import Column
from sideband.benchmarks.events.tables import Dataset
from sideband.infer import events
from sideband.infer.errors import BadInput


@dataclass(frozen=True)
class Asked:
    """What a command line says of events.

    Args:
        mass: the mass, as NAME or NAME=EXPRESSION; "" if it says nothing, and files are in Sideband's own layout.
        features: likewise; empty for every column of one number an event.
        units: by column.
        label: an expression; "" for the column `label` where there is one.
        cut: an expression; "" for none.
        place: where the tables are in the files.
    """

    mass: str = ""
    features: Sequence[str] = ()
    units: Sequence[str] = ()
    label: str = ""
    cut: str = ""
    place: Place = field(default_factory=Place)

    def of_own(self, paths: Sequence[Path]) -> bool:
        """Whether files are somebody's own: something is said of them, or they are of a format of which it must be."""
        return self != Asked() or any(format_of(path) != "HDF5" for path in paths)

    def read(self, path: Path) -> Dataset:
        """The events of a file; raises `BadInput` where a suite that says the same would be refused."""
        if not self.mass:
            raise BadInput(f"{path}: which column is the mass? Say it with --mass")
        mass = Column.told(self.mass)
        units = dict(_pair(each) for each in self.units)
        there, label = self._columns(path), self.label
        label = label or ("label" if "label" in there else "")
        others = [name for name in there if name not in (mass.name, label, *layout.APART)]
        features = list(map(Column.told, self.features or others))
        for name in units:
            if name not in (mass.name, *(column.name for column in features)):
                raise BadInput(f"--units {name}: no such column is read; name the mass or a feature")
        section = {
            "mass": _section(mass, units),
            "features": [_section(column, units) for column in features],
            "label": label,
            "cut": self.cut,
            "tree": self.place.tree,
            "group": self.place.group,
        }
        return own.own(section, {"data": path}, events.sha256(path))

    def _columns(self, path: Path) -> list[str]:
        """The columns of a file that have one number an event."""
        with opened(path, self.place) as reader:
            return [name for name in reader.units if name not in layout.WIDE and _is_scalar(reader, name)]


def _section(column: Column, units: Mapping[str, str]) -> dict[str, str]:
    return {"column": column.name, "expression": column.expression, "unit": units.get(column.name, "")}


def _pair(given: str) -> tuple[str, str]:
    name, found, unit = given.partition("=")
    if not (name and found):
        raise BadInput(f"--units {given}: must be COLUMN=UNIT, as in m_vis=GeV")
    return name, unit


def _is_scalar(reader: Any, name: str) -> bool:
    try:
        first = next(iter(reader.chunks([name])), {name: np.empty(0)})[name]
    except BadInput:
        return False
    return isinstance(first, np.ndarray) and first.ndim == 1 and first.dtype.kind in "fiub"

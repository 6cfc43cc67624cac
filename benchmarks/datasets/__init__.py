"""Events from three sources behind one interface: the embedded set, any HDF5 file, the LHC Olympics files."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infer import events
from infer.damage import check_regular
from infer.errors import BadInput

Array = NDArray[np.float32]

PARTS = ("data", "signal", "background", "simulation")
DIJETS = Path(__file__).with_name("dijets")


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


def load(config: Mapping[str, Any], base: Path) -> Dataset:
    """Read the data set that a suite's `dataset` section describes.

    Args:
        config: the section, valid by the schema.
        base: the folder that relative paths start from.

    Raises:
        BadInput: a file, a column or a value is not as the section says.
    """
    from benchmarks.datasets import hdf5, lhco

    readers = {"dijets": hdf5.embedded, "hdf5": hdf5.own, "lhco": lhco.olympics}
    return readers[config["source"]](config, files(config, base), identity(config, base))


def files(config: Mapping[str, Any], base: Path) -> dict[str, Path]:
    """The files of the section by part: data, and where given signal, background, simulation.

    Raises:
        BadInput: one of them does not exist, or is no file.
    """
    if config["source"] == "dijets":
        return {part: DIJETS / f"{part}.h5" for part in PARTS}
    found = {part: base / config[part] for part in (*PARTS, "test") if part in config}
    if config["source"] == "shower_files":
        found |= {f"decays {index}": base / each["file"] for index, each in enumerate(config["decays"])}
    for part, path in found.items():
        if not os.path.exists(path):
            hint = (
                "; `python -m benchmarks download` fetches the LHC Olympics files" if config["source"] == "lhco" else ""
            )
            raise BadInput(f"{path}: no such file (the suite's dataset.{part}){hint}")
        check_regular(path)
    return found


def identity(config: Mapping[str, Any], base: Path) -> str:
    """A digest of what the section says and of the files it names, wherever they lie."""
    said = sorted((key, str(_without_file(value))) for key, value in config.items() if key not in (*PARTS, "test"))
    held = [(part, events.sha256(path)) for part, path in files(config, base).items()]
    return hashlib.sha256(repr((said, held)).encode()).hexdigest()


def _without_file(value: Any) -> Any:
    """Of a list of samples, each in a file, what is said of them."""
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return [sorted((key, said) for key, said in each.items() if key != "file") for each in value]
    return value

"""Events from three sources behind one interface: the embedded set, any HDF5 file, the LHC Olympics files."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sideband.benchmarks.events.tables import Dataset
from sideband.infer import events
from sideband.infer.damage import check_regular
from sideband.infer.errors import BadInput

PARTS = ("data", "signal", "background", "simulation")
DIJETS = Path(__file__).with_name("dijets")


def load(config: Mapping[str, Any], base: Path) -> Dataset:
    """Read the data set that a suite's `dataset` section describes.

    Args:
        config: the section, valid by the schema.
        base: the folder that relative paths start from.

    Raises:
        BadInput: a file, a column or a value is not as the section says.
    """
    from sideband.benchmarks.events import hdf5, lhco

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

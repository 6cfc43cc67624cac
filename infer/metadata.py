"""The metadata of an exported file, read from its `metadata_props` and checked key by key."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from . import meaning
from .columns import split
from .errors import BadInput
from .inputs import Constant, Drawn, Target, parsed
from .meaning import Meaning

ROLES = ("template", "signal", "score", "density", "encoder")
MAKERS = ("template", "signal")  # roles of graphs that make events

# The values of metadata_props that are JSON; the others are plain text.
STRUCTURED = frozenset(
    {
        "inputs",
        "outputs",
        "window",
        "mass_range",
        "settings",
        "fitted_range",
        "flop_per_event",
        "parity",
        "versions",
        "cpu_only",
    }
)


@dataclass(frozen=True)
class Port:
    """One input or output of a graph, `[N, width]`: its columns side by side, their names, units and widths.

    A column holds one number an event, or many: the voxels of a calorimeter. An input of a template or a signal also
    says how it is drawn, and an output that is not a column of events what it means.
    """

    columns: tuple[str, ...]
    units: tuple[str, ...]
    widths: tuple[int, ...]
    drawn: Drawn | None = None
    meaning: Meaning | None = None

    @property
    def width(self) -> int:
        """Numbers an event."""
        return sum(self.widths)

    def split(self, table: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """A table `[N, width]` as columns by name."""
        return split(table, dict(zip(self.columns, self.widths, strict=True)))


def parse(properties: Mapping[str, str], path: object) -> dict[str, Any]:
    """The metadata of a file, those in `STRUCTURED` parsed.

    Args:
        properties: `metadata_props`.
        path: the file, for messages.

    Raises:
        BadInput: a key is missing, or its value is not what `python -m export` writes.
    """
    metadata: dict[str, Any]
    try:
        metadata = {key: json.loads(text) if key in STRUCTURED else text for key, text in properties.items()}
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "not JSON") from error
    for key, right in CHECKS.items():
        if key not in metadata:
            raise _damaged(path, f"no '{key}'")
        if not right(metadata[key]):
            raise _damaged(path, f"wrong '{key}'")
    inputs, outputs = ports(metadata["inputs"]), ports(metadata["outputs"])
    width = sum(port.width for port in outputs.values())
    known = {column for port in inputs.values() for column in port.columns}
    if metadata["role"] == "template":
        mass = "condition" in inputs and inputs["condition"].width == 1
        drawn = all(port.drawn is not None and _agrees(port) for port in inputs.values())
        features = "features" in outputs and outputs.keys() <= {"features", "weight"}
        weight = "weight" not in outputs or (outputs["weight"].columns == ("weight",) and outputs["weight"].width == 1)
        together = {"inputs": mass and drawn, "outputs": features and weight}
    elif metadata["role"] == "signal":
        drawn = all(port.drawn is not None and _agrees(port) for port in inputs.values())
        both = outputs.keys() == {"features", "mass"} and outputs["mass"].width == 1
        together = {"inputs": drawn, "outputs": both}
    else:
        together = {
            "outputs": len(outputs) == 1 and (width == 1 or metadata["role"] == "encoder"),
            "fitted_range": metadata["fitted_range"].keys() <= known,
        }
    together["parity"] = not metadata["parity"] or len(metadata["parity"]["atol"]) == width
    wrong = next((key for key, fits in together.items() if not fits), None)
    if wrong:
        raise _damaged(path, f"wrong '{wrong}'")
    return metadata


def ports(described: Mapping[str, Any]) -> dict[str, Port]:
    """The inputs or the outputs that the metadata describe, by name, in order."""
    return {
        name: Port(
            tuple(port["columns"]),
            tuple(port["units"]),
            tuple(port.get("widths") or [1] * len(port["columns"])),
            parsed(port.get("drawn")),
            meaning.parsed(port),
        )
        for name, port in described.items()
    }


def _agrees(port: Port) -> bool:
    """Whether an input has the width of what is drawn: a mass is one number."""
    return port.width == 1 or not isinstance(port.drawn, Target | Constant)


def _damaged(path: object, what: str) -> BadInput:
    return BadInput(f"{path}: its Sideband metadata is damaged or of another version ({what}); export it again")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_range(value: Any) -> bool:
    """Whether a value is two finite numbers, the second not below the first."""
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]


def _is_window(value: Any) -> bool:
    return value is None or (is_range(value) and value[0] < value[1])


def _are_ports(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_port, value.values()))


def _is_port(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    columns, units, widths = (value.get(key) for key in ("columns", "units", "widths"))
    if not (isinstance(columns, list) and columns and isinstance(units, list) and len(units) == len(columns)):
        return False
    if not all(map(_is_name, columns)) or not all(isinstance(unit, str) for unit in units):
        return False
    if len(set(columns)) < len(columns) or not _is_meaning(value) or not _is_number(value.get("value", 0)):
        return False
    return not widths or (
        isinstance(widths, list)
        and len(widths) == len(columns)
        and all(type(width) is int and width >= 1 for width in widths)
    )


def _is_meaning(port: dict[str, Any]) -> bool:
    """Whether a port has no meaning, or one with two bounds."""
    bounds = port.get("range", [None, None])
    numbers = isinstance(bounds, list) and len(bounds) == 2 and all(each is None or _is_number(each) for each in bounds)
    return numbers and ("meaning" in port) == ("range" in port) and isinstance(port.get("meaning", ""), str)


def _is_name(value: Any) -> bool:
    """A name that a column of an HDF5 file can have."""
    return isinstance(value, str) and value.strip(".") != "" and not {"/", "\0"} & set(value)


def _are_ranges(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_range, value.values()))


def _is_parity(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    atol = value.get("atol")
    tolerances = [*atol, value.get("rtol")] if isinstance(atol, list) else [None]
    return not value or all(_is_number(one) and one >= 0 for one in tolerances)


def _is_seed(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 20 and int(value) < 2**63


CHECKS: dict[str, Callable[[Any], bool]] = {
    "role": lambda value: value in ROLES,
    "method": bool,
    "seed": _is_seed,
    "inputs": _are_ports,
    "outputs": _are_ports,
    "window": _is_window,
    "mass_range": _is_window,
    "settings": lambda value: isinstance(value, dict) and all(isinstance(each, dict | None) for each in value.values()),
    "fitted_range": _are_ranges,
    "flop_per_event": lambda value: value is None or (_is_number(value) and value >= 0),
    "parity": _is_parity,
    "versions": lambda value: isinstance(value, dict),
    "cpu_only": lambda value: isinstance(value, bool),
}

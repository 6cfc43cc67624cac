"""Whether a file of events suits an exported graph: columns, units, window and data must be those of the fit."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import events
from .draws import TARGET
from .errors import BadInput
from .inputs import Rows, Target
from .metadata import MAKERS
from .model import Model


def serves_every_window(model: Model) -> bool:
    """Whether a graph holds in every window of its data, because its model was fitted to the whole mass range.

    A score never does, whatever files of earlier versions say.
    """
    return model.metadata.get("scope") == "all" and model.role != "score"


def check(model: Model, path: str | Path, group: str) -> None:
    """Compare the events in `path` with those that the graph was fitted to.

    Only what both files state is compared. Events from elsewhere need the columns and nothing more.

    Args:
        model: the graph.
        path: an events file, a template or a task.h5.
        group: the group that holds the events' columns.

    Raises:
        BadInput: other columns, other units, another window, or a task of other data.
    """
    with events.opened(path) as file:
        attributes = events.attributes(file)
        places = {column: place for column, place in _places(model, group).items() if place in file}
        widths = model.widths()
        units = {column: events.attribute(file[place], "unit") for column, place in places.items()}
        for column, place in places.items():
            shape, width = events.shape(file[place], column, path), widths[column]
            if not shape:
                raise BadInput(f"{path}: '{place}' is not an array of numbers; write it as one")
            if math.prod(shape[1:]) != width or (width == 1 and len(shape) > 1):
                raise BadInput(
                    f"{path}: '{place}' has the shape {shape}, and {model.path} takes {width} "
                    f"number{'s' * (width > 1)} an event; give the column as it was fitted"
                )
    _check_columns(model, path, attributes)
    for column, unit in model.units().items():
        found = units.get(column)
        if unit and found and found != unit:
            raise BadInput(
                f"{path}: '{places[column]}' is in {found}, and {model.path} was fitted to '{column}' in {unit}; "
                "convert it"
            )
    window, known = _window(attributes), model.metadata["window"]
    if window is not None and known is not None and window != known and not serves_every_window(model):
        raise BadInput(
            f"{path}: belongs to the window {_named(window)}, but {model.path} is for {_named(known)} only; "
            "give events of that window, or use a method that serves every window"
        )
    if attributes.get("kind") == "task":
        ours, theirs = model.metadata.get("dataset_sha256"), attributes.get("dataset_sha256")
        if ours and theirs and ours != theirs:
            raise BadInput(
                f"{path}: was drawn from other data than {model.path} was fitted to; "
                "give a task drawn from the same data"
            )


def other_window(model: Model, path: str | Path) -> str:
    """A line to print if a graph that serves every window is used outside its own window; else ""."""
    window, known = window_of(path), model.metadata["window"]
    if window is None or known is None or window == known:
        return ""
    return f"{model.metadata['method']} serves every window: exported with {_named(known)}, used in {_named(window)}"


def window_of(path: str | Path) -> list[float] | None:
    """The window that a file's events are of, in the mass unit; None where it names none."""
    with events.opened(path) as file:
        return _window(events.attributes(file))


def _places(model: Model, group: str) -> dict[str, str]:
    """Where a file holds each column that a graph takes."""
    if model.role not in MAKERS:
        return {column: f"{group}/{column}" for column in model.units()}
    places = {column: f"data/{column}" for column in model.outputs["features"].columns}
    for port in model.inputs.values():
        if isinstance(port.drawn, Target):
            places |= dict.fromkeys(port.columns, TARGET)
        if isinstance(port.drawn, Rows) and not port.drawn.file:
            places |= {column: f"{port.drawn.group}/{column}" for column in port.columns if column not in places}
    return places


def _check_columns(model: Model, path: str | Path, attributes: Mapping[str, Any]) -> None:
    """A task names its mass and its features, in their order."""
    if attributes.get("kind") != "task":
        return
    features = model.outputs["features"] if model.role in MAKERS else model.inputs.get("features")
    mass = model.inputs.get("condition", model.outputs.get("mass"))
    for key, port in {"mass": mass, "features": features}.items():
        if port is None or key not in attributes:
            continue
        found = tuple(map(str, np.atleast_1d(attributes[key])))
        if found != port.columns:
            raise BadInput(
                f"{path}: its {key} {'is' if key == 'mass' else 'are'} {', '.join(found)}, and {model.path} was fitted "
                f"to {', '.join(port.columns)}; give a task of the same columns"
            )


def _window(attributes: Mapping[str, Any]) -> list[float] | None:
    found = attributes.get("window")
    return found if isinstance(found, list) and len(found) == 2 else None


def _named(window: list[float]) -> str:
    return f"{window[0]:.15g}-{window[1]:.15g}"

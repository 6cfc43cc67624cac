"""Events in our layout, one HDF5 dataset a column: the embedded dijets, and anybody's own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sideband.benchmarks.events import dijet, layout
from sideband.benchmarks.events.tables import Dataset, Events, join
from sideband.infer import events
from sideband.infer.errors import BadInput

DIJET_FEATURES = dijet.DEFAULT


def dijets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section of a suite, without its files, for dijets in our layout; `config` may choose the features."""
    return {"mass": {"column": "m_jj", "unit": "TeV"}, "features": config.get("features", list(DIJET_FEATURES))}


def embedded(config: Mapping[str, Any], files: Mapping[str, Path], sha256: str) -> Dataset:
    """The dijets shipped with Sideband (`dijets/`): QCD, a W' → XY signal, and an alternative simulation, in TeV."""
    told = {}
    for part in ("signal", "simulation"):
        with events.opened(files[part]) as file:
            told[part] = events.attribute(file, "what")
    description = f"embedded dijets: Pythia 8.317 QCD and {told['signal']}; {told['simulation']}"
    return own({**dijets(config), "description": description}, files, sha256)


def own(config: Mapping[str, Any], files: Mapping[str, Path], sha256: str) -> Dataset:
    """Events of one's own, with any mass column, any features and any unit.

    They are labelled if `label` names a column of the data file or if there is a signal file. Events of the data file
    with label 0, or all of them, are then background. Wide features are checked here and stay in their files.

    Raises:
        BadInput: a column is missing, named twice, not finite, or in another unit than the section says.
    """
    mass, unit, label = config["mass"]["column"], config["mass"].get("unit", ""), config.get("label")
    features = tuple(config["features"])
    _check_names(mass, features, label)
    if label is None and "background" in files and "signal" not in files:
        raise BadInput(
            "dataset.background: events without labels cannot use true background; give 'label' or 'signal' too"
        )
    units, wide = _described(files["data"], mass, unit, features)
    places: list[tuple[Path, int]] = []
    parts: dict[str, Events] = {}
    for part, path in files.items():
        found = _events(path, mass, features, label if part == "data" else None, wide)
        if wide:
            start = sum(length for _, length in places)
            found = replace(found, rows=np.arange(start, start + len(found)))
            places.append((path, len(found)))
        parts[part] = found
    data = parts["data"]
    if "signal" in parts:
        data = join(data if label else _labelled(data, 0), _labelled(parts["signal"], 1))
    return Dataset(
        mass,
        features,
        units,
        data,
        parts.get("background"),
        parts.get("simulation"),
        config.get("description", f"own events from {files['data'].name}"),
        sha256,
        wide,
        tuple(places),
    )


def _check_names(mass: str, features: tuple[str, ...], label: str | None) -> None:
    if "label" in (mass, *features):
        raise BadInput("dataset: 'label' is the name of the truth, so it cannot be the mass or a feature; rename it")
    for name, what in ((mass, "mass"), (label, "label")):
        if name in features:
            raise BadInput(f"dataset.features: '{name}' is the {what} column, it cannot be a feature too; remove it")
    if label == mass or len(set(features)) < len(features):
        raise BadInput("dataset: a column is named twice; mass, label and every feature must be different columns")


def _described(
    path: Path, mass: str, unit: str, features: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """The unit of each column, and the shape of an event of each wide feature."""
    with events.opened(path) as node:
        found = events.datasets(node, [mass, *features], path)
        units = {name: events.unit(data, name, path) for name, data in found.items()}
        wide = {name: tuple(found[name].shape[1:]) for name in features if found[name].ndim > 1}
    if unit and units[mass] and units[mass] != unit:
        raise BadInput(f"{path}: column {mass!r} is in {units[mass]}, the suite says {unit}; correct dataset.mass.unit")
    return {**units, mass: unit or units[mass]}, {name: shape for name, shape in wide.items() if name in layout.WIDE}


def _events(
    path: Path, mass: str, features: tuple[str, ...], label: str | None, wide: Mapping[str, tuple[int, ...]]
) -> Events:
    scalars = [name for name in features if name not in wide]
    columns = events.read(path, [mass, *scalars, *([label] if label else [])])
    for name, values in columns.items():
        if values.ndim > 1:
            raise BadInput(
                f"{path}: column {name!r} has shape {values.shape}; must be [events], one number per event; write its "
                "numbers as separate columns"
            )
    if not len(columns[mass]):
        raise BadInput(f"{path}: holds no events")
    _check_wide(path, mass, wide)
    known = None
    if label:
        if not np.isin(columns[label], (0, 1)).all():
            raise BadInput(f"{path}: label column {label!r} holds values other than 0 (background) and 1 (signal)")
        known = columns[label].astype(np.int8)
    table = [columns[name] for name in scalars]
    return Events(columns[mass], np.stack(table, 1) if table else np.empty((len(columns[mass]), 0), np.float32), known)


def _check_wide(path: Path, mass: str, wide: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse wide columns that break the layout or have another shape than in the data; they are read in blocks."""
    with events.opened(path) as node:
        for name, data in events.datasets(node, [mass, *wide], path).items():
            if name in wide and data.shape[1:] != wide[name]:
                raise BadInput(
                    f"{path}: column {name!r} has shape {data.shape}, but in the data it is [events, "
                    f"{', '.join(map(str, wide[name]))}]; write the same shape to all files"
                )
            for broken in layout.faults(name, data, path) if name in wide else ():
                raise BadInput(f"{path}: column {name!r}: {broken}")


def _labelled(table: Events, label: int) -> Events:
    return replace(table, label=np.full(len(table), label, np.int8))

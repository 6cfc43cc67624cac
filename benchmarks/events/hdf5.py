"""Events in our own layout: one HDF5 dataset a column, units in attributes; the embedded dijets, and anybody's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sideband.benchmarks.events import dijet
from sideband.benchmarks.events.tables import Dataset, Events, join
from sideband.infer import events
from sideband.infer.errors import BadInput

DIJET_FEATURES = dijet.DEFAULT


def dijets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section of own events, its files apart, that dijets in our layout have; `config` may choose features."""
    return {"mass": {"column": "m_jj", "unit": "TeV"}, "features": config.get("features", list(DIJET_FEATURES))}


def embedded(config: Mapping[str, Any], files: Mapping[str, Path], sha256: str) -> Dataset:
    """The dijets shipped with Sideband (`dijets/`): QCD, a W' → XY signal, and an alternative simulation, in TeV."""
    return own(
        {**dijets(config), "description": "embedded dijets: Pythia 8.317 QCD and W'(3.5 TeV) -> X(500 GeV) Y(100 GeV)"},
        files,
        sha256,
    )


def own(config: Mapping[str, Any], files: Mapping[str, Path], sha256: str) -> Dataset:
    """Events of one's own, with any mass column, any features and any unit.

    Labelled if `label` names a column of the data file or if a signal file stands beside it; then the data file's
    events with label 0 (or all of them) are background.

    Raises:
        BadInput: a column is missing, named twice, not finite, or in another unit than the section says.
    """
    mass, unit = config["mass"]["column"], config["mass"].get("unit", "")
    features, label = tuple(config["features"]), config.get("label")
    if "label" in (mass, *features):
        raise BadInput("dataset: 'label' cannot be the mass or a feature, tasks keep the truth by that name; rename it")
    for name, what in ((mass, "mass"), (label, "label")):
        if name in features:
            raise BadInput(f"dataset.features: '{name}' is the {what} column, it cannot be a feature too; remove it")
    if label == mass or len(set(features)) < len(features):
        raise BadInput("dataset: a column is named twice; mass, label and every feature must be different columns")
    units = _units(files["data"], mass, unit, features)
    data = _events(files["data"], mass, features, label)
    if "signal" in files:
        if label is None:
            data = Events(data.mass, data.features, np.zeros(len(data), dtype=np.int8))
        signal = _events(files["signal"], mass, features, None)
        data = join(data, Events(signal.mass, signal.features, np.ones(len(signal), dtype=np.int8)))
    elif label is None and "background" in files:
        raise BadInput(
            "dataset.background: true background is of no use to events without labels; give 'label' or 'signal' too"
        )
    extra = {part: _events(files[part], mass, features, None) for part in ("background", "simulation") if part in files}
    return Dataset(
        mass,
        features,
        units,
        data,
        extra.get("background"),
        extra.get("simulation"),
        config.get("description", f"own events from {files['data'].name}"),
        sha256,
    )


def _events(path: Path, mass: str, features: tuple[str, ...], label: str | None) -> Events:
    names = [mass, *features] + ([label] if label else [])
    columns = events.read(path, names)
    for name, values in columns.items():
        if values.ndim > 1:
            raise BadInput(
                f"{path}: column {name!r} has shape {values.shape}; must be [events], one number an event; write its "
                "numbers as columns of their own"
            )
    if not len(columns[mass]):
        raise BadInput(f"{path}: holds no events")
    known = None
    if label:
        if not np.isin(columns[label], (0, 1)).all():
            raise BadInput(f"{path}: label column {label!r} holds values other than 0 (background) and 1 (signal)")
        known = columns[label].astype(np.int8)
    return Events(columns[mass], np.stack([columns[name] for name in features], axis=1), known)


def _units(path: Path, mass: str, unit: str, features: tuple[str, ...]) -> dict[str, str]:
    with events.opened(path) as node:
        found = events.datasets(node, [mass, *features], path)
        held = {name: events.unit(data, name, path) for name, data in found.items()}
    if unit and held[mass] and held[mass] != unit:
        raise BadInput(f"{path}: column {mass!r} is in {held[mass]}, the suite says {unit}; correct dataset.mass.unit")
    return {**held, mass: unit or held[mass]}

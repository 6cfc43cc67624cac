"""The rules of our events layout, and the check of a file against them."""

import math
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.dijet import UNITS as DIJETS
from sideband.benchmarks.simulate.showers.geometry import UNITS as SHOWERS
from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.infer import events

ROWS, NUMBERS = 20_000, 8_000_000  # read at a time, at most

UNITS = {**DIJETS, **SHOWERS}

APART = ("label", "weight")  # columns that are neither mass nor features
WIDE = ("constituents", "showers")  # the columns that may have more than one number an event

# The least value of the columns that have one.
LEAST = {"m_jj": 0.0, "m_j1": 0.0, "dm_j": 0.0, "dr_jj": 0.0, "weight": 0.0}
LEAST |= {f"tau{n}_j{jet}": 0.0 for n in (21, 32) for jet in (1, 2)}
LEAST |= {"energy": 0.0, "showers": 0.0, "lost": 0.0}
LIKELY = (0.1, 100.0)  # TeV, of a median dijet mass


def violations(path: str | Path, mass: str = "m_jj") -> list[str]:
    """The rules of the layout that a file breaks, one line each; none if it is an events file.

    Args:
        path: an HDF5 file.
        mass: the mass column; files of showers have the incident energy instead.

    Raises:
        BadInput: no such file, not an HDF5 file, or a damaged one.
    """
    with events.opened(path) as file:
        if events.is_pandas(file):
            return ["a pandas store, not one dataset per column; a suite reads it with 'source: lhco'"]
        items = events.items(file)
        columns = {name: item for name, item in items.items() if isinstance(item, h5py.Dataset)}
        found = [*_items(items)]
        mass = condition(columns, mass)
        if mass not in columns:
            found.append(f"no mass column {mass!r} (columns there: {events.listed(columns)})")
        wrong = {name: events.fault(data) for name, data in columns.items()}
        found += [f"{name!r}: {fault}" for name, fault in wrong.items() if fault]
        numbers = {name: data for name, data in columns.items() if not wrong[name]}
        lengths = {name: data.shape[0] for name, data in numbers.items()}
        if len(set(lengths.values())) > 1:
            found.append(f"columns of unequal length: {events.listed(f'{name} {n}' for name, n in lengths.items())}")
        if lengths and not max(lengths.values()):
            found.append("no events")
        for name, data in numbers.items():
            found += [f"{name!r}: {broken}" for broken in (*_unit(name, data), *faults(name, data, path))]
    return found


def _items(items: Mapping[str, h5py.HLObject | None]) -> Iterator[str]:
    """The items of a file that are not datasets."""
    for name, item in items.items():
        if isinstance(item, h5py.Group):
            yield f"group {name!r}: columns must be datasets of the file itself"
    for name, item in items.items():
        if item is None:
            yield f"{name!r}: leads nowhere or to another file, or has a name that is not UTF-8"


def condition(columns: Container[str], mass: str) -> str:
    """The mass column; for showers, the energy of the particles that made them."""
    return "energy" if "showers" in columns else mass


def faults(name: str, data: h5py.Dataset, path: str | Path) -> Iterator[str]:
    """The rules that a column's shape and values break; the values are read in blocks."""
    wrong = _shape(name, data.shape)
    if wrong:
        yield wrong
        return
    rows = min(ROWS, max(NUMBERS // max(math.prod(data.shape[1:]), 1), 1))
    bad, first, least, others, disorder, middle = 0, -1, np.inf, 0, 0, None
    for start in range(0, data.shape[0], rows):
        with events.undamaged(path, f"column {name!r} "):
            values = events.as_float32(data[start : start + rows])
        finite = np.isfinite(values)
        if not finite.all() and not bad:
            first = start + int(np.argmin(finite.reshape(len(values), -1).all(axis=1)))
        if name == "m_jj" and middle is None and finite.any():
            middle = float(np.median(values[finite]))
        bad += int((~finite).sum())
        least = min(least, float(values.min(where=finite, initial=np.inf)))
        others += int((~np.isin(values, (0, 1))).sum()) if name == "label" else 0
        disorder += _disorder(values) if name == "constituents" else 0
    if bad:
        yield f"{bad} NaN or infinite values, or beyond float32 (first: row {first})"
    if others:
        yield f"{others} values other than 0 (background) and 1 (signal)"
    if name in LEAST and least < LEAST[name]:
        yield f"values down to {least:g}; must not be negative"
    if disorder:
        yield (
            f"{disorder} jets whose constituents are out of order: pt must fall and not be negative, |phi| be at most "
            "pi, and zeros follow the last"
        )
    if middle is not None and not LIKELY[0] < middle < LIKELY[1]:
        yield f"about {middle:.3g}, so probably not in TeV"


def _shape(name: str, shape: tuple[int, ...]) -> str:
    """Why a column must not have this shape; "" if it may."""
    if name == "constituents" and (len(shape) != 4 or shape[1] != 2 or shape[3] != 3):
        return f"shape {shape}; must be [events, 2 jets, constituents, 3 (pt, eta, phi)]"
    if name == "showers" and shape[1:] != (VOXELS,):
        return f"shape {shape}; must be [events, {VOXELS} voxels]"
    if name not in WIDE and len(shape) > 1:
        return f"shape {shape}; must be [events], one number per event"
    return ""


def _unit(name: str, data: h5py.Dataset) -> Iterator[str]:
    unit = events.attribute(data, "unit")
    if name == "label":
        return
    if not isinstance(unit, str) or not unit.isprintable():
        yield "no attribute 'unit' (a text, empty for a pure number)"
    elif name in UNITS and unit != UNITS[name]:
        yield f"in {unit!r}; the layout has it in {UNITS[name]}"


def _disorder(values: NDArray[Any]) -> int:
    """How many jets have constituents `[N, 2, P, 3]` that break the rules."""
    pt, eta, phi = np.moveaxis(values, -1, 0)
    absent = pt == 0
    right = (pt >= 0) & (np.abs(phi) <= np.float32(np.pi)) & ~(absent & ((eta != 0) | (phi != 0)))
    falling = (np.diff(pt, axis=-1) <= 0).all(axis=-1)
    return int((~(right.all(axis=-1) & falling)).sum())

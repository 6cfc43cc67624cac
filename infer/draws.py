"""Noise, target masses and sources of a template, from counter-based draws.

Every number is a function of (seed, purpose, block of 1,000 events) alone, so a template does not depend on the number
of workers, on restarts, or on how many more events are asked for: the first events are always the same ones.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from . import events
from .columns import joined
from .errors import BadInput
from .metadata import is_range

BLOCK = 1000
TARGETS = ("target_mass", "target_energy")  # of dijets, and of showers: what a template's events are asked to have

Feeds = dict[str, NDArray[np.float32]]


def generator(seed: int, purpose: str, block: int) -> np.random.Generator:
    """The Philox generator of one block (Salmon et al., SC11): keyed by seed and purpose, counting from the block."""
    code = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    key = np.array([seed, code], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, block], dtype=np.uint64)))


def source_rows(seed: int, size: int, block: int) -> NDArray[np.int64]:
    """Which of `size` source events the template events of a block start from, `[1000]`."""
    return generator(seed, "source", block).integers(size, size=BLOCK)


@dataclass(frozen=True)
class Draws:
    """The inputs of a template's graph, block by block.

    Args:
        inputs: columns of each graph input by its name: `noise`, `condition`, `source`, `source_condition`,
            `anchor_low`, `anchor_high`.
        target_mass: masses `[M]`, in the mass unit of the task, or showers' energies; event i gets the one i modulo M.
        source: source events `[S, d]`, resampled with replacement; None where the method has none.
        source_mass: their masses `[S]`.
        seed: the draw seed.
        keeps_mass: source events keep their own masses instead of getting target masses.
        anchors: the masses that a method interpolates between.
    """

    inputs: Mapping[str, int]
    target_mass: NDArray[np.float32]
    source: NDArray[np.float32] | None
    source_mass: NDArray[np.float32] | None
    seed: int
    keeps_mass: bool = False
    anchors: tuple[float, float] | None = None

    def block(self, index: int) -> Feeds:
        """Inputs of events `1000 * index … 1000 * index + 999`, each `[1000, columns]` float32."""
        feeds: Feeds = {}
        if "noise" in self.inputs:
            noise = generator(self.seed, "noise", index)
            feeds["noise"] = noise.standard_normal((BLOCK, self.inputs["noise"]), dtype=np.float32)
        if "condition" in self.inputs:
            rows = np.arange(index * BLOCK, (index + 1) * BLOCK) % len(self.target_mass)
            feeds["condition"] = self.target_mass[rows, None]
        if self.source is not None and self.source_mass is not None:
            rows = source_rows(self.seed, len(self.source), index)
            feeds["source"], feeds["source_condition"] = self.source[rows], self.source_mass[rows, None]
            if self.keeps_mass:
                feeds["condition"] = feeds["source_condition"]
        for name, mass in zip(("anchor_low", "anchor_high"), self.anchors or (), strict=False):
            feeds[name] = np.full((BLOCK, 1), mass, np.float32)
        return {name: feeds[name] for name in self.inputs}

    def blocks(self, first: int, number: int) -> Feeds:
        """Inputs of `number` consecutive blocks, each `[1000 * number, columns]`."""
        parts = [self.block(first + step) for step in range(number)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.inputs}


def anchors(window: tuple[float, float], mass_range: tuple[float, float], margin: float) -> tuple[float, float]:
    """The two masses beside a window that a method interpolates between.

    Args:
        window, mass_range: in the mass unit.
        margin: how far beyond the window's edges they lie, as a share of its width.

    Raises:
        BadInput: they would lie inside the window or outside the data.
    """
    low, high = window
    beyond = margin * (high - low)
    if beyond <= 0:
        raise BadInput(
            f"anchor_margin {margin:g}: the anchors must lie outside the window {low:g}-{high:g}; choose > 0"
        )
    if low - beyond < mass_range[0] or high + beyond > mass_range[1]:
        raise BadInput(
            f"anchor_margin {margin:g}: the anchors {low - beyond:g} and {high + beyond:g} of the window "
            f"{low:g}-{high:g} lie outside the data, {mass_range[0]:g}-{mass_range[1]:g}; choose less"
        )
    return low - beyond, high + beyond


def from_task(
    path: str | Path, inputs: Mapping[str, int], source: str | None, seed: int, margin: float | None = None
) -> Draws:
    """Draws for a template on the task in `path`.

    Args:
        path: a task.h5 (target masses, data, mass and feature names, window).
        inputs: columns of each graph input by its name.
        source: "sideband" (the data outside the window), "signal region" (those inside), "simulation", or None.
        seed: the draw seed.
        margin: of the anchors beside the window, for graphs that take any.

    Raises:
        BadInput: the file is not a task, has no such source, or no room for the anchors.
    """
    if not 0 <= seed < 2**63:
        raise BadInput(f"seed {seed}: choose one from 0 to 2^63 - 1")
    with events.opened(path) as file:
        target = next((name for name in TARGETS if name in file), None)
        if target is None:
            raise BadInput(f"{path}: not a task file (no '{TARGETS[0]}'); `python -m benchmarks task` makes one")
        window, whole = _range(file, "window"), _range(file, "mass_range")
        if window is None and (source in ("sideband", "signal region") or "anchor_low" in inputs):
            raise BadInput(f"{path}: has no mass window, and this template starts from one; give a task that has")
        group = {"sideband": "data", "signal region": "data", "simulation": "simulation", None: None}[source]
        if group is not None and group not in file:
            raise BadInput(f"{path}: this template needs '{group}' events as its source, and the task has none")
        mass, features = _columns(file) if group is not None else ("", [])
    target_mass = events.read(path, [target])[target]
    if target_mass.ndim != 1 or not len(target_mass):
        raise BadInput(f"{path}: '{target}' must hold one number an event, and some; draw the task again")
    beside = None
    if "anchor_low" in inputs:
        if window is None or whole is None:
            raise BadInput(f"{path}: names no 'mass_range' for the anchors to lie in; draw the task again")
        beside = anchors(window, whole, margin or 0.0)
    if group is None:
        return Draws(inputs, target_mass, None, None, seed, anchors=beside)
    columns = events.read(path, [mass, *features], group)
    if columns[mass].ndim != 1:
        raise BadInput(f"{path}: '{group}/{mass}' must hold one number an event; draw the task again")
    keep = np.ones(len(columns[mass]), dtype=bool)
    if window is not None and source in ("sideband", "signal region"):
        keep = events.in_window(columns[mass], window) == (source == "signal region")
    table = joined(columns, features)[keep]
    if not len(table):
        raise BadInput(f"{path}: holds no {source} events, which this template starts from")
    if "source" in inputs and table.shape[1] != inputs["source"]:
        raise BadInput(
            f"{path}: its features are {table.shape[1]} numbers an event, and this template takes {inputs['source']}"
        )
    return Draws(inputs, target_mass, table, columns[mass][keep], seed, source == "signal region", beside)


def _range(file: h5py.Group, name: str) -> tuple[float, float] | None:
    """An attribute that holds two rising masses; None where there is none."""
    found = events.attribute(file, name)
    if found is None:
        return None
    if not (is_range(found) and found[0] < found[1]):
        raise BadInput(f"{file.file.filename}: its '{name}' is not two rising numbers; draw the task again")
    return float(found[0]), float(found[1])


def _columns(file: h5py.Group) -> tuple[str, list[str]]:
    """The names of a task's mass and features."""
    mass, features = events.attribute(file, "mass"), np.atleast_1d(events.attribute(file, "features") or []).tolist()
    if not (isinstance(mass, str) and features and all(isinstance(name, str) for name in features)):
        raise BadInput(f"{file.file.filename}: does not name its mass and features; draw the task again")
    return mass, features

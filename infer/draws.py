"""The inputs of a template's graph, from counter-based draws.

Every number is a function of (seed, purpose, block of 1,000 events) alone. So a template does not depend on the number
of workers, on restarts, or on how many more events are asked for: the first events are always the same.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from . import events
from .called import called
from .columns import ROW, joined
from .errors import BadInput
from .inputs import Constant, Noise, Range, Rows, Target
from .metadata import Port, is_range

BLOCK = 1000
SOURCE = "source"  # the input of events that template events begin as, one each
TARGET = "target"  # of a task: the masses, or energies, that template events are to have

Feeds = dict[str, NDArray[np.float32]]


def generator(seed: int, purpose: str, block: int) -> np.random.Generator:
    """The Philox generator of one block (Salmon et al., SC11): keyed by seed and purpose, counting from the block.

    >>> generator(1, "noise", 0).standard_normal(2).round(3).tolist()
    [-0.439, -0.049]
    """
    code = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    key = np.array([seed, code], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, block], dtype=np.uint64)))


def _in_turn(size: int, block: int) -> NDArray[np.int64]:
    """Which of `size` events the template events of a block get, one after the other, `[1000]`."""
    return np.arange(block * BLOCK, (block + 1) * BLOCK) % size


def source_rows(seed: int, size: int, block: int) -> NDArray[np.int64]:
    """Which of `size` events the template events of a block start from, drawn with replacement, `[1000]`."""
    return generator(seed, "source", block).integers(size, size=BLOCK)


@dataclass(frozen=True)
class Draws:
    """The inputs of a template's graph, block by block.

    Args:
        inputs: the graph's inputs by name; each says how it is drawn.
        target: masses `[M]`, or energies, that the task asks for; event i gets the one i modulo M.
        tables: the events `[S, width]` that each `Rows` input draws from.
        constants: the mass of each `Constant` input.
        seed: the draw seed.
        origin: where each event `[S]` that the input `source` draws from stands in the files that it came from; None
            where there is no such input, or where nothing says so.
    """

    inputs: Mapping[str, Port]
    target: NDArray[np.float32]
    tables: Mapping[str, NDArray[np.float32]]
    constants: Mapping[str, float]
    seed: int
    origin: NDArray[np.uint32] | None = None

    @property
    def count(self) -> int:
        """Events of one pass: the target masses, or, where none is taken, the events that rows come from."""
        if any(isinstance(port.drawn, Target) for port in self.inputs.values()):
            return len(self.target)
        turns = [
            len(self.tables[name])
            for name, port in self.inputs.items()
            if isinstance(port.drawn, Rows) and port.drawn.order == "turn"
        ]
        return max(turns, default=len(self.target))

    def block(self, index: int) -> Feeds:
        """Inputs of events `1000 * index … 1000 * index + 999`, each `[1000, columns]` float32."""
        return {name: self._input(name, port, index) for name, port in self.inputs.items()}

    def _input(self, name: str, port: Port, index: int) -> NDArray[np.float32]:
        if isinstance(port.drawn, Noise):
            return generator(self.seed, "noise", index).standard_normal((BLOCK, port.width), dtype=np.float32)
        if isinstance(port.drawn, Constant):
            return np.full((BLOCK, 1), self.constants[name], np.float32)
        if isinstance(port.drawn, Rows):
            return self.tables[name][self._rows(name, port.drawn, index)]
        return self.target[_in_turn(len(self.target), index), None]

    def _rows(self, name: str, drawn: Rows, index: int) -> NDArray[np.int64]:
        """Which events of its table an input gets in a block, `[1000]`."""
        size = len(self.tables[name])
        return _in_turn(size, index) if drawn.order == "turn" else source_rows(self.seed, size, index)

    def blocks(self, first: int, number: int) -> Feeds:
        """Inputs of `number` consecutive blocks, each `[1000 * number, columns]`."""
        parts = [self.block(first + step) for step in range(number)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.inputs}

    def origins(self, first: int, number: int) -> NDArray[np.uint32] | None:
        """Where the source events of `number` consecutive blocks stand, `[1000 * number]`; None as for `origin`."""
        drawn = self.inputs[SOURCE].drawn if SOURCE in self.inputs else None
        if self.origin is None or not isinstance(drawn, Rows):
            return None
        return self.origin[np.concatenate([self._rows(SOURCE, drawn, first + step) for step in range(number)])]


def from_task(path: str | Path, inputs: Mapping[str, Port], seed: int, beside: str | Path = "") -> Draws:
    """Draws for a template on the task in `path`.

    Args:
        path: a task.h5.
        inputs: the graph's inputs by name.
        seed: the draw seed.
        beside: the folder of the files that `Rows` of a file of their own come from.

    Raises:
        BadInput: the file is not a task, lacks events that the template starts from, or has no room for its anchors.
    """
    if not 0 <= seed < 2**63:
        raise BadInput(f"seed {seed}: choose one from 0 to 2^63 - 1")
    with events.opened(path) as file:
        if TARGET not in file:
            raise BadInput(f"{path}: not a task file (no '{TARGET}'); `{called('benchmarks', 'task')}` makes one")
        window, mass_range = _range(file, "window"), _range(file, "mass_range")
        mass = events.attribute(file, "mass")
        groups = set(file)
    for port in inputs.values():
        needs_window = isinstance(port.drawn, Constant) or (isinstance(port.drawn, Rows) and port.drawn.region != "all")
        if needs_window and window is None:
            raise BadInput(f"{path}: has no mass window, and this template starts from one; give a task that has")
        if isinstance(port.drawn, Rows) and not port.drawn.file and port.drawn.group not in groups:
            group = port.drawn.group
            raise BadInput(f"{path}: this template needs '{group}' events as its source, and the task has none")
    constants = {}
    for name, port in inputs.items():
        if isinstance(port.drawn, Constant):
            if window is None or mass_range is None:
                raise BadInput(f"{path}: names no 'mass_range' for the anchors to lie in; draw the task again")
            constants[name] = port.drawn.value(window, mass_range)
    target = events.read(path, [TARGET])[TARGET]
    if target.ndim != 1 or not len(target):
        raise BadInput(f"{path}: '{TARGET}' must hold one number an event, and some; draw the task again")
    found = {
        name: _table(Path(beside) / port.drawn.file if port.drawn.file else Path(path), port, port.drawn, mass, window)
        for name, port in inputs.items()
        if isinstance(port.drawn, Rows)
    }
    origin = found[SOURCE][1] if SOURCE in found else None
    return Draws(inputs, target, {name: table for name, (table, _) in found.items()}, constants, seed, origin)


def _table(
    path: Path, port: Port, drawn: Rows, mass: object, window: Range | None
) -> tuple[NDArray[np.float32], NDArray[np.uint32] | None]:
    """The events `[S, width]` that an input draws from: its columns of a group, in a region of the mass.

    Also where each of them stands in the files that it came from `[S]`; None where the group does not say.
    """
    columns = events.read(path, port.columns, drawn.group)
    found = sum(values[0].size if len(values) else 1 for values in columns.values())
    if found != port.width:
        raise BadInput(
            f"{path}: '{drawn.group}' has {found} numbers an event in {', '.join(port.columns)}, and this template "
            f"takes {port.width}; draw the task again"
        )
    table, origin = joined(columns, port.columns), events.rows_of(path, drawn.group)
    if origin is not None and len(origin) != len(table):
        raise BadInput(f"{path}: '{drawn.group}/{ROW}' must hold one number an event; draw the task again")
    if drawn.region != "all" and window is not None:
        if not isinstance(mass, str):
            raise BadInput(f"{path}: does not name its mass; draw the task again")
        at = events.read(path, [mass], drawn.group)[mass]
        if at.ndim != 1:
            raise BadInput(f"{path}: '{drawn.group}/{mass}' must hold one number an event; draw the task again")
        kept = events.in_window(at, window) == (drawn.region == "signal region")
        table, origin = table[kept], None if origin is None else origin[kept]
    if not len(table):
        where = "" if drawn.region == "all" else f" in the {drawn.region}"
        raise BadInput(f"{path}: holds no {drawn.group} events{where}, which this template starts from")
    return table, origin


def _range(file: h5py.Group, name: str) -> Range | None:
    """An attribute that holds two rising masses; None where there is none."""
    found = events.attribute(file, name)
    if found is None:
        return None
    if not (is_range(found) and found[0] < found[1]):
        raise BadInput(f"{file.file.filename}: its '{name}' is not two rising numbers; draw the task again")
    return float(found[0]), float(found[1])

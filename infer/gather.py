"""Join the parts of one template into one file that refers to them: nothing is copied."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from . import events
from .called import called
from .columns import SOURCE_ROW
from .errors import BadInput
from .metadata import MAKERS

NO_ROW = np.iinfo(np.uint32).max


@dataclass(frozen=True)
class Part:
    """Some events of a template in a file of their own.

    Args:
        path: the file.
        first: its first event.
        shapes: of its columns, by name.
        units: of its columns, by name.
        identity: what all parts of the template share.
    """

    path: Path
    first: int
    shapes: dict[str, tuple[int, ...]]
    units: dict[str, str]
    identity: dict[str, Any]

    @property
    def end(self) -> int:
        """The event after its last one."""
        return self.first + next(iter(self.shapes.values()))[0]

    @classmethod
    def read(cls, path: Path) -> "Part":
        """Read all but the events; raises `BadInput` for anything but what `template.generate` writes."""
        if "%" in str(path):
            raise BadInput(f"{path}: HDF5 refers to no file with % in its name; choose another name")
        with events.opened(path) as node:
            first = events.attribute(node, "first")
            if events.attribute(node, "kind") not in MAKERS or not isinstance(first, int):
                raise BadInput(f"{path}: not a part of a template; `{called('infer', 'template … --first')}` makes one")
            columns = events.datasets(node, list(events.items(node)), path)
            if any(data.is_virtual for data in columns.values()):
                raise BadInput(f"{path}: is gathered itself; give its parts")
            units = {name: events.unit(data, name, path) for name, data in columns.items()}
            return cls(path, first, {name: data.shape for name, data in columns.items()}, units, events.identity(node))


def gather(paths: Sequence[Path], out: Path, count: int | None = None) -> int:
    """Write a template that consists of parts, in the order of their events, as virtual datasets of HDF5.

    It reads like one file as long as the parts stay where they are; all may move together.

    Args:
        paths: files that `template.generate` made, in any order.
        out: the file to write.
        count: how many events there must be together; as many as the parts hold by default.

    Returns:
        The number of events.

    Raises:
        BadInput: a file that is not a part, or one of another template; events that are missing or there twice.
    """
    events.check_output(out, paths)
    parts = sorted(map(Part.read, paths), key=lambda part: part.first)
    _check_same(parts)
    _check_whole(parts, count)
    total, folder = parts[-1].end, Path(os.path.realpath(out)).parent
    with events.new_file(out) as file:
        for name, shape in parts[0].shapes.items():
            kind, missing = ("<u4", NO_ROW) if name == SOURCE_ROW else ("<f4", np.nan)
            layout = h5py.VirtualLayout((total, *shape[1:]), kind)
            for part in parts:
                place = os.path.relpath(os.path.realpath(part.path), folder)
                column = name.replace("%", "%%")  # alone, HDF5 takes it for the number of a block
                layout[part.first : part.end] = h5py.VirtualSource(place, column, part.shapes[name], kind)
            # Programs that do not look whether all parts are there find no number, and no row, in place of events.
            data = file.create_virtual_dataset(name, layout, fillvalue=missing)
            data.attrs["unit"] = parts[0].units[name]
        file.attrs.update(parts[0].identity | {"first": 0, "count": total})
    return total


def _check_same(parts: Sequence[Part]) -> None:
    """Refuse parts of different templates."""
    known = parts[0]
    for part in parts[1:]:
        for name in known.identity | part.identity:
            ours, theirs = part.identity.get(name), known.identity.get(name)
            if ours != theirs:
                raise BadInput(
                    f"{part.path}: its {name} is {ours}, and that of {known.path} is {theirs}; "
                    "give parts of one template"
                )
        if part.units != known.units:
            raise BadInput(f"{part.path}: has other columns than {known.path}; give parts of one template")


def _check_whole(parts: Sequence[Part], count: int | None) -> None:
    """Refuse events that are missing or there twice."""
    end = 0
    for before, part in zip([None, *parts], parts, strict=False):
        if before is not None and part.first < end:
            raise BadInput(
                f"{part.path}: begins at event {part.first}, which {before.path} holds too; give one of them"
            )
        _check_none_between(end, part.first)
        end = part.end
    if count is not None:
        _check_none_between(end, count)
        if end > count:
            raise BadInput(f"--count {count}: the parts hold {end} events; give fewer parts, or that number")


def _check_none_between(end: int, start: int) -> None:
    if end < start:
        missing = f"{start - end} events from event {end} on"
        raise BadInput(f"{missing} are in no part; make them with --first {end} --count {start - end}")

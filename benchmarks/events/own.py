"""Events of one's own: any mass, any features, in any format that is read; and the embedded dijets, read alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events import dijet, identity, layout
from sideband.benchmarks.events.formats import Chunk, Place, Reader, format_of, opened
from sideband.benchmarks.events.formats.expressions import Column, chunks, symbols, values
from sideband.benchmarks.events.formats.hdf5 import Columns
from sideband.benchmarks.events.tables import Dataset, Events, join
from sideband.infer import events
from sideband.infer.errors import BadInput

DIJET_FEATURES = dijet.DEFAULT


@dataclass(frozen=True)
class Wanted:
    """What a section asks of its files: the mass, features, a label or "", a cut or "", and where their tables are."""

    mass: Column
    features: tuple[Column, ...]
    label: str = ""
    cut: str = ""
    identity: tuple[str, ...] = ()
    place: Place = field(default_factory=Place)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Wanted":
        """What a suite's `dataset` section asks for; raises `BadInput` if a column has two purposes."""
        named = config.get("id") or ()
        found = cls(
            Column.of(config["mass"]),
            tuple(map(Column.of, config["features"])),
            config.get("label") or "",
            config.get("cut", ""),
            (named,) if isinstance(named, str) else tuple(named),
            Place(config.get("tree", ""), config.get("group", "")),
        )
        _check_names(found.mass.name, [column.name for column in found.features], found.label)
        return found


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

    They are labelled if `label` names a column of the data or if there is a signal file. Data with label 0, or all of
    them, are then background. Wide features are checked here and stay in their files. Every event keeps its row: all
    files are numbered through, events that a cut leaves out too.

    Args:
        config: a suite's `dataset` section.
        files: by part, as `sources.files` gives them: "data", "data 2", …, "signal", and so on.
        sha256: the data set's digest.

    Raises:
        BadInput: files of different formats, a column that is missing, named twice, not finite or in another unit than
            the section says, or an identity that repeats.
    """
    wanted = Wanted.of(config)
    parts: dict[str, list[Events]] = {}
    if not wanted.label and "background" in files and "signal" not in files:
        raise BadInput(
            "dataset.background: events without labels cannot use true background; give 'label' or 'signal' too"
        )
    _check_formats(files)
    if wanted.identity:
        identity.check(identity.of_data(files), wanted.identity, wanted.place)
    with opened(files["data"], wanted.place) as reader:
        units, wide = _described(files["data"], reader, wanted)
    places: list[tuple[Path, int]] = []
    first = 0
    for name, path in files.items():
        part = name.split()[0]
        asked = replace(wanted, label=wanted.label if part == "data" else "")
        with opened(path, wanted.place) as reader:
            _check_units(path, reader, wanted, units)
            found, length = _read(path, reader, asked, wide, first)
        first += length
        places.append((path, length))
        parts.setdefault(part, []).append(found)
    joined = {part: join(*each) for part, each in parts.items()}
    for part, each in joined.items():
        if not len(each):
            raise BadInput(f"{files[part]}: holds no events{' that pass dataset.cut' if wanted.cut else ''}")
    data = joined["data"]
    if "signal" in joined:
        data = join(data if wanted.label else _labelled(data, 0), _labelled(joined["signal"], 1))
    return Dataset(
        wanted.mass.name,
        tuple(column.name for column in wanted.features),
        units,
        data,
        joined.get("background"),
        joined.get("simulation"),
        config.get("description", f"own events from {_named(files)}"),
        sha256,
        wide,
        tuple(places),
    )


def _named(files: Mapping[str, Path]) -> str:
    more = sum(name.startswith("data ") for name in files)
    return f"{files['data'].name} and {more} more file{'s' * (more > 1)}" if more else files["data"].name


def _check_names(mass: str, features: Sequence[str], label: str) -> None:
    if "label" in (mass, *features):
        raise BadInput("dataset: 'label' is the name of the truth, so it cannot be the mass or a feature; rename it")
    for name, what in ((mass, "mass"), (label, "label")):
        if name in features:
            raise BadInput(f"dataset.features: '{name}' is the {what} column, it cannot be a feature too; remove it")
    if label == mass or len(set(features)) < len(features):
        raise BadInput("dataset: a column is named twice; mass, label and every feature must be different columns")


def _check_formats(files: Mapping[str, Path]) -> None:
    """Refuse files of different formats in one part: a glob that takes in more than was meant."""
    first: dict[str, tuple[Path, str]] = {}
    for name, path in files.items():
        found = format_of(path)
        other, format_there = first.setdefault(name.split()[0], (path, found))
        if found != format_there:
            raise BadInput(f"{path}: is {found}, but {other} is {format_there}; give files of one format")


def _described(path: Path, reader: Reader, wanted: Wanted) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """The unit of each column, and the shape of an event of each wide feature."""
    there, units = reader.units, {}
    for column in (wanted.mass, *wanted.features):
        symbols(path, column.expression, list(there))
        stored = there.get(column.expression, "")
        if column.unit and stored and stored != column.unit:
            where = "dataset.mass.unit" if column is wanted.mass else "its unit in dataset.features"
            raise BadInput(
                f"{path}: column {column.name!r} is in {stored}, the suite says {column.unit}; correct {where}"
            )
        units[column.name] = column.unit or stored
    if not isinstance(reader, Columns):
        return units, {}
    names = [column.expression for column in wanted.features if column.expression in layout.WIDE]
    found = events.datasets(reader.node, names, path)
    return units, {name: tuple(data.shape[1:]) for name, data in found.items() if data.ndim > 1}


def _check_units(path: Path, reader: Reader, wanted: Wanted, units: Mapping[str, str]) -> None:
    """Refuse a file that has a column in another unit than the first one, or the suite, says."""
    for column in (wanted.mass, *wanted.features):
        stored, known = reader.units.get(column.expression, ""), units[column.name]
        if stored and known and stored != known:
            raise BadInput(
                f"{path}: column {column.name!r} is in {stored}, in the data in {known}; write one unit to all"
            )


def _read(
    path: Path, reader: Reader, wanted: Wanted, wide: Mapping[str, tuple[int, ...]], first: int
) -> tuple[Events, int]:
    """The events of a file whose first one has row `first`, and how many it holds before the cut."""
    scalars = [column for column in wanted.features if column.name not in wide]
    expressions = [wanted.mass.expression, *(column.expression for column in scalars)]
    expressions += [each for each in (wanted.label, wanted.cut) if each]
    tables: list[Events] = []
    length = 0
    if wide:
        _check_wide(path, reader, expressions, wide)
    for chunk in chunks(path, reader, expressions):
        size = max(map(len, chunk.values()))
        kept, rows = _passing(path, wanted.cut, chunk, size)
        columns = {
            column.name: _finite(path, column, values(path, column.expression, kept), length, rows)
            for column in (wanted.mass, *scalars)
        }
        table = [columns[column.name] for column in scalars]
        tables.append(
            Events(
                columns[wanted.mass.name],
                np.stack(table, 1) if table else np.empty((len(rows), 0), np.float32),
                _truth(path, wanted.label, kept) if wanted.label else None,
                (first + length + rows).astype(np.uint32),
            )
        )
        length += size
    if not tables:
        raise BadInput(f"{path}: holds no events")
    return join(*tables), length


def _passing(path: Path, cut: str, chunk: Chunk, size: int) -> tuple[Chunk, NDArray[np.int64]]:
    """The events of a chunk that pass the cut, and their places in the chunk."""
    if not cut:
        return chunk, np.arange(size)
    found = values(path, cut, chunk)
    if not isinstance(found, np.ndarray) or found.shape != (size,) or found.dtype.kind not in "biu":
        raise BadInput(f"{path}: dataset.cut {cut!r} gives no single truth value an event; compare numbers")
    rows = np.flatnonzero(found)
    return {name: each[rows] for name, each in chunk.items()}, rows


def _finite(path: Path, column: Column, found: Any, first: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """A column as float32 `[N]`; raises `BadInput` if it is not one finite number an event."""
    name = f"column {column.name!r}"
    if not isinstance(found, np.ndarray):
        whole = column.expression if column.expression.isidentifier() else f"({column.expression})"
        raise BadInput(
            f"{path}: {name} has a varying number of values an event; take one, as in '{whole}[:, 0]' with a "
            "dataset.cut that keeps events that have it"
        )
    if found.shape != rows.shape:
        raise BadInput(
            f"{path}: {name} has shape {found.shape}; must be [events], one number per event; write its numbers as "
            "separate columns"
        )
    result = events.as_float32(found)
    bad = np.flatnonzero(~np.isfinite(result))
    if len(bad):
        raise BadInput(
            f"{path}: {name} holds {len(bad)} NaN or infinite values (first: row {first + rows[bad[0]]}); drop those "
            "events"
        )
    return result


def _truth(path: Path, label: str, chunk: Chunk) -> NDArray[np.int8]:
    found = values(path, label, chunk)
    if not isinstance(found, np.ndarray):
        raise BadInput(f"{path}: label {label!r} has a varying number of values an event; give one")
    if found.ndim > 1:
        raise BadInput(
            f"{path}: column {label!r} has shape {found.shape}; must be [events], one number per event; write its "
            "numbers as separate columns"
        )
    if not np.isin(found, (0, 1)).all():
        raise BadInput(f"{path}: label column {label!r} holds values other than 0 (background) and 1 (signal)")
    return found.astype(np.int8)


def _check_wide(path: Path, reader: Reader, expressions: Sequence[str], wide: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse wide columns that break the layout or have another shape than in the data; they are read in blocks."""
    if not isinstance(reader, Columns):
        raise BadInput(f"{path}: has no wide columns, but the data have; give HDF5")
    names = {name for each in expressions for name in symbols(path, each, list(reader.units))}
    for name, data in events.datasets(reader.node, [*names, *wide], path).items():
        if name in wide and data.shape[1:] != wide[name]:
            raise BadInput(
                f"{path}: column {name!r} has shape {data.shape}, but in the data it is [events, "
                f"{', '.join(map(str, wide[name]))}]; write the same shape to all files"
            )
        for broken in layout.faults(name, data, path) if name in wide else ():
            raise BadInput(f"{path}: column {name!r}: {broken}")


def _labelled(table: Events, label: int) -> Events:
    return replace(table, label=np.full(len(table), label, np.int8))

"""Changes to the events file in the current folder, one function each, which returns a description."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz import damage
from tests.fuzz.material import COLUMNS, Random, columns, pick, write_events

FILE = Path("events.h5")
NAMES = ("m", "x", "y")


def _replace(name: str, item: Any, unit: Any = None) -> None:
    with h5py.File(FILE, "r+") as file:
        unit = file[name].attrs["unit"] if unit is None else unit
        del file[name]
        file[name] = item
        if isinstance(file.get(name), h5py.Dataset) and name in file:
            file[name].attrs["unit"] = unit


def _link(random: Random) -> str:
    name, other = pick(random, NAMES), pick(random, ("x", "truth"))
    links: dict[str, Any] = {
        "a dangling link": h5py.SoftLink("/nowhere"),
        "a link to itself": h5py.SoftLink(f"/{name}"),
        "a link into a missing file": h5py.ExternalLink("missing.h5", "/x"),
        "a link into this file": h5py.ExternalLink("events.h5", "/truth"),
        "a link to another column": h5py.SoftLink(f"/{other}") if other != name else h5py.SoftLink("/m"),
        "a link to the root": h5py.SoftLink("/"),
    }
    chosen = pick(random, list(links))
    with h5py.File(FILE, "r+") as file:
        del file[name]
        file[name] = links[chosen]
        if random.random() < 0.3:
            file["more"] = links["a dangling link"]
    return f"{name} is {chosen}"


def _type(random: Random) -> str:
    name = pick(random, (*NAMES, "truth"))
    values = columns()[name]
    with h5py.File(FILE, "r") as file:
        size = len(file[name])
    kinds: dict[str, Callable[[], Any]] = {
        **{kind: partial(values.astype, kind) for kind in ("i1", "u8", "f2", "f8", ">f4", ">i2", "?")},
        "complex": lambda: values.astype("c8"),
        "text": lambda: np.array(["a"] * size, dtype=object),
        "bytes": lambda: values.astype("S8"),
        "compound": lambda: np.zeros(size, [("a", "f4"), ("b", "i4")]),
        "references": lambda: np.full(size, h5py.Reference(), h5py.ref_dtype),
        "no space": lambda: h5py.Empty("f4"),
        "lists": lambda: _lists(size),
    }
    chosen = pick(random, list(kinds))
    _replace(name, kinds[chosen]())
    return f"{name} of type {chosen}"


def _lists(size: int) -> Any:
    lists = np.empty(size, h5py.vlen_dtype("f4"))
    for row in range(size):
        lists[row] = np.zeros(row % 3, "f4")
    return lists


def _shape(random: Random) -> str:
    name = pick(random, (*NAMES, "truth"))
    values = columns()[name]
    shapes = (values[:, None], np.stack([values, values], 1), values[None], values[0], values[:0], values[:-1])
    chosen = pick(random, shapes)
    if random.random() < 0.3:
        for each in (*NAMES, "truth"):
            _replace(each, np.resize(columns()[each], chosen.shape))
        return f"all columns of shape {chosen.shape}"
    _replace(name, chosen)
    return f"{name} of shape {chosen.shape}"


def _values(random: Random) -> str:
    name, value = (
        pick(random, (*NAMES, "truth")),
        pick(random, (np.nan, np.inf, -np.inf, 1e300, -1e39, -5, 1e-310, 0.5)),
    )
    values = columns()[name].astype("f8")
    values[pick(random, (slice(0, 1), slice(-1, None), slice(None), slice(500, 900)))] = value
    _replace(name, values)
    return f"{name} holds {value}"


def _unit(random: Random) -> str:
    name = pick(random, NAMES)
    units = (
        np.bytes_("TeV"),
        np.bytes_("GeV"),
        "GeV",
        "tev",
        5,
        np.array(["TeV", "GeV"], dtype=object),
        "",
        "µ\n",
        h5py.Empty("S3"),
    )
    unit: Any = pick(random, (*units, np.bytes_(b"\xff\xfe"), np.zeros((2, 2))))
    with h5py.File(FILE, "r+") as file:
        del file[name].attrs["unit"]
        if random.random() < 0.9:
            file[name].attrs["unit"] = unit
    return f"{name} with unit {unit!r}"


def _attributes(random: Random) -> str:
    name = pick(
        random, ("kind", "window", "features", "mass", "what", "cross_section_pb", "selection", "dataset_sha256")
    )
    value: Any = pick(random, ("task", np.nan, [3.3, 3.7], [1.0], "x", np.bytes_(b"\xff"), h5py.Empty("f4"), -1))
    with h5py.File(FILE, "r+") as file:
        file.attrs[name] = value
    return f"attribute {name} = {value!r}"


def _declared(random: Random) -> str:
    rows = int(random.choice([10**7, 2 * 10**9, 2**40]))
    with h5py.File(FILE, "w") as file:
        for name, unit in COLUMNS.items():
            data = file.create_dataset(name, (rows,), "f4", chunks=(100_000,), compression=pick(random, (None, "gzip")))
            data.attrs["unit"] = unit
            if random.random() < 0.5:
                data[:100] = 3.5
    return f"{rows} rows declared, none written"


def _packed(random: Random) -> str:
    ways: tuple[dict[str, Any], ...] = ({"compression": "gzip"}, {"fletcher32": True}, {"shuffle": True})
    write_events(FILE, columns(), chunks=(600,), **pick(random, ways))
    return f"packed; {damage.file(random, FILE)}"


def _more(random: Random) -> str:
    number = int(random.choice([1, 3, 12]))
    names = (
        "label",
        "weight",
        "m_jj",
        "x ",
        "tau21_j1",
        "constituents",
        "showers",
        "é",
        "a.b",
        "..",
        "z" * 200,
        "events",
    )
    with h5py.File(FILE, "r+") as file:
        size = len(file["m"])
        for index in range(number):
            name = pick(random, names) if number < 12 else f"c{index}"
            if name not in file:
                shape = (size, 2) if random.random() < 0.2 else (size,)
                file.create_dataset(name, data=random.normal(size=shape).astype("f4")).attrs["unit"] = ""
    return f"{number} more columns"


def _group(random: Random) -> str:
    with h5py.File(FILE, "r+") as file:
        if random.random() < 0.5:
            column = file["x"][()]
            del file["x"]
            file[pick(random, ("x/x", "deep/er/x"))] = column
        else:
            file.create_group(pick(random, ("data", "test", "g")))
    return "a group in the file"


def harmless(random: Random) -> str:
    ways: tuple[dict[str, Any], ...] = ({"chunks": (77,)}, {"compression": "gzip"}, {"maxshape": (None,)})
    options = pick(random, ways)
    write_events(FILE, columns(), **options)
    return f"written with {options}"


def _damaged(random: Random) -> str:
    return damage.file(random, FILE)


ODD = (
    _link,
    _type,
    _shape,
    _values,
    _unit,
    _attributes,
    _declared,
    _packed,
    _more,
    _group,
    _damaged,
    _damaged,
    _damaged,
)

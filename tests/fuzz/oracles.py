"""The right results, computed from the files with plain h5py and numpy; "" if a result agrees."""

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tests.infer.graphs import SLOPE, SPREAD

Table = dict[str, NDArray[np.float32]]


def table(path: str, group: str, names: tuple[str, ...]) -> Table:
    """Columns as stored in a file; raises whatever h5py raises."""
    with h5py.File(path, "r") as file:
        found = {name: np.asarray(file[group][name][()]) for name in names}
    for name, values in found.items():
        if values.ndim != 1 or values.dtype.kind not in "fiub" or not np.isfinite(values.astype(np.float32)).all():
            raise ValueError(f"{name} is no column of finite numbers")
    if len({len(values) for values in found.values()}) > 1:
        raise ValueError("columns of unequal length")
    return {name: values.astype(np.float32) for name, values in found.items()}


def unit(path: str, group: str, name: str) -> str:
    """The unit of a column, stored as any kind of text; "" if it has none."""
    with h5py.File(path, "r") as file:
        found = file[group][name].attrs.get("unit", "")
    return found.decode() if isinstance(found, bytes) else found if isinstance(found, str) else ""


def scored(path: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The scores in a file under any name, and which of their events are outside the fitted range."""
    with h5py.File(path, "r") as file:
        (name,) = set(file) - {"clamped", "event_row"}
    found = table(path, "/", (name, "clamped"))
    return found[name], found["clamped"]


def scores(path: str, out: str, group: str = "/", weight: float = 1.0) -> str:
    """Scores of `graphs.score`."""
    told, (made, clamped) = table(path, group, ("x", "y")), scored(out)
    if unit(path, group, "x") not in ("", "TeV"):
        return f"x is in {unit(path, group, 'x')}, and the graph takes TeV"
    expected = weight * (told["x"] + 2 * told["y"])
    if len(made) != len(expected) or not np.allclose(made, expected, rtol=1e-4, atol=1e-5):
        return "scores are not those of the events"
    outside = np.any([(told[name] < 0) | (told[name] > 1) for name in ("x", "y")], axis=0)
    return "" if np.array_equal(clamped, outside) else "what is clamped is not what lies outside the range"


def template(task: str, out: str, count: int | None = None, seed: int = 1, morphing: bool = False) -> str:
    """A template of `graphs.template`, or of `graphs.morphing`."""
    with h5py.File(task, "r") as file:
        targets, window = np.asarray(file["target"][()], np.float32), file.attrs.get("window")
    count = len(targets) if count is None else count
    made, mass = table(out, "/", ("m", "x", "y")), np.resize(targets, count)
    if morphing:
        data = table(task, "data", ("m", "x", "y"))
        low, high = np.asarray(window, np.float32)
        kept = (data["m"] <= low) | (data["m"] >= high)
        drawn = [generator(seed, "source", block).integers(kept.sum(), size=1000) for block in range(-(-count // 1000))]
        rows = np.concatenate(drawn)[:count]
        source = np.stack([data["x"][kept], data["y"][kept]], axis=1)[rows]
        expected = source + (mass - data["m"][kept][rows])[:, None] * SLOPE
    else:
        parts = [
            generator(seed, "noise", block).standard_normal((1000, 2), np.float32) for block in range(-(-count // 1000))
        ]
        expected = np.concatenate(parts)[:count] @ SPREAD + mass[:, None] * SLOPE
    if len(made["m"]) != count or not np.array_equal(made["m"], mass):
        return "masses are not the task's target masses"
    right = np.allclose(np.stack([made["x"], made["y"]], axis=1), expected, rtol=1e-4, atol=1e-4)
    return "" if right else "events are not those of the graph"


def generator(seed: int, purpose: str, block: int) -> np.random.Generator:
    """Philox, keyed by seed and purpose, counting from the block."""
    key = [seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")]
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64), counter=[0, 0, 0, block]))


def task(suite: dict[str, Any], path: str, window: tuple[float, float] | None = None) -> str:
    """A task drawn from a suite of own events in this folder."""
    section = suite["dataset"]
    mass, features = section["mass"]["column"], tuple(section["features"])
    low, high = np.asarray(window or suite["windows"][0], np.float32)
    whole = table(section["data"], "/", (mass, *features))
    with h5py.File(path, "r") as file:
        targets, attributes = np.asarray(file["target"][()]), dict(file.attrs)
    data = table(path, "data", (mass, *features))
    for name in attributes.get("smeared", ()):
        data[name] = np.floor(data[name] + np.float32(0.5))
    given = {row.tobytes() for row in np.stack(list(whole.values()), axis=1)}
    if any(row.tobytes() not in given for row in np.stack(list(data.values()), axis=1)):
        return "the task holds events that the data do not"
    if not (
        (data[mass] > np.float32(suite["mass_range"][0])) & (data[mass] < np.float32(suite["mass_range"][1]))
    ).all():
        return "the task holds events outside the mass range"
    inside = data[mass][(data[mass] > low) & (data[mass] < high)]
    times = suite.get("oversampling", 4)
    if not np.array_equal(np.sort(targets), np.sort(np.repeat(inside, times))):
        return "target masses are not those of the window"
    if list(attributes["features"]) != list(features) or attributes["mass"] != mass:
        return "the task's columns are not the suite's"
    if section["mass"].get("unit", "") not in ("", unit(path, "data", mass)):
        return "the mass is in another unit than the suite says"
    return ""


def events(path: str) -> str:
    """A file that `validate` calls valid."""
    return "" if all(len(values) for values in table(path, "/", ("m", "x", "y")).values()) else "valid, and empty"


def numbers(path: str) -> str:
    """A JSON file, which must not be empty, and whose rates and times must be positive."""
    content = json.loads(Path(path).read_text())
    for row in content if isinstance(content, list) else []:
        for key in ("events_per_second", "p10", "p90", "total_seconds"):
            if key in row and not 0 < row[key] < float("inf"):
                return f"{key} is {row[key]}"
    return "" if content else "an empty record"

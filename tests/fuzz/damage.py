"""Damage to bytes, and values that no setting expects."""

import datetime
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.material import Random, pick

# In place of any value of a suite, of metadata or of a setting.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3.0, 20.0, 0.5, -0.5, 1e308, -1e-300, math.nan, math.inf, -math.inf),
    *(2**31, 2**63, 2**64, -(2**63), 10**30, "", " ", "1", "nan", "é\u202e", "x" * 300, "../x", "a/b", "\x01", "-1"),
    *([], {}, [[]], [1, 1], [1, 2, 3], ["a", 1], {"a": 1}, datetime.date(2020, 1, 1)),
)


# What may be in the place of a file.
PLACED: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}


def file(random: Random, path: Path) -> str:
    """Damage the bytes of a file, or put something else in its place; returns a description."""
    if random.random() < 0.06:
        way = pick(random, list(PLACED))
        path.unlink()
        PLACED[way](path)
        return f"{path.name} is {way}"
    content = bytearray(path.read_bytes())
    ways = ("flipped", "flipped", "flipped", "flipped", "cut", "cut", "zeroed", "repeated", "longer", "empty", "text")
    way = pick(random, ways)
    size = len(content)
    if way == "flipped":
        places = random.integers(size, size=int(random.choice([1, 1, 1, 2, 8, 64])))
        for place in places:
            content[place] ^= 1 << int(random.integers(8))
        way = f"bits flipped in bytes {', '.join(map(str, places[:4]))}{' …' if len(places) > 4 else ''}"
    elif way == "cut":
        kept = pick(random, (int(random.integers(size)), size - 1, min(size, 100)))
        del content[kept:]
        way = f"cut to {kept} of {size} bytes"
    elif way == "zeroed":
        start, length = int(random.integers(size)), int(random.integers(1, 4096))
        content[start : start + length] = bytes(len(content[start : start + length]))
        way = f"{length} bytes from {start} on zeroed"
    elif way == "repeated":
        place = int(random.integers(size))
        content[place:place] = content[:place]
    elif way == "longer":
        content += bytes(random.integers(256, size=100, dtype="u1"))
    else:
        content = bytearray(b"" if way == "empty" else b"m,x,y\n1,2,3\n" * 20)
    path.write_bytes(content)
    return f"{path.name} {way}"


def tree(random: Random, content: Any) -> tuple[Any, str]:
    """Change one entry of nested lists and mappings; returns them and a description."""
    places = list(_places(content))
    if not places:
        return pick(random, ODD), "all replaced"
    at = pick(random, places)
    holder = content
    for step in at[:-1]:
        holder = holder[step]
    key, name = at[-1], ".".join(map(str, at))
    way = pick(
        random, ("replaced", "replaced", "replaced", "replaced", "removed", "added", "renamed", "doubled", "near")
    )
    value = holder[key]
    if way == "removed":
        del holder[key]
    elif way == "renamed" and isinstance(holder, dict):
        holder[pick(random, (f"{key}s", str(key).upper(), "", 1, None))] = holder.pop(key)
    elif way == "doubled" and isinstance(holder, list):
        holder.append(value)
    elif way == "added" and isinstance(value, dict | list):
        extra = pick(random, ODD)
        value.append(extra) if isinstance(value, list) else value.update({"odd": extra})
        way = f"added {extra!r:.40}"
    elif way == "near" and isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = pick(random, (-value, value * 10, value * 1e3, float(value), value + 1e-7, value / 3, str(value)))
        way = f"{value!r} replaced by {holder[key]!r}"
    else:
        holder[key] = pick(random, ODD)
        way = f"{value!r:.40} replaced by {holder[key]!r:.40}"
    return content, f"{name} {way}"


def _places(content: Any, at: tuple[Any, ...] = ()) -> Any:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield (*at, key)
        yield from _places(value, (*at, key))

"""Events files with changed links, types, shapes, values, units and bytes, for every command that takes them."""

from pathlib import Path
from typing import Any

import yaml

from tests.fuzz import hdf5, oracles
from tests.fuzz.material import LABELLED, SUITE, Random, copy, pick
from tests.fuzz.verdict import Case


def _made(random: Random, base: Path) -> tuple[str, bool]:
    copy(base, "events.h5", "score", "search.yaml", "labelled.yaml")
    if random.random() < 0.08:
        return hdf5.harmless(random), True
    return pick(random, hdf5.ODD)(random), False


def light(random: Random, base: Path) -> Case:
    """Score or validate changed events, or draw a task from them."""
    what, harmless = _made(random, base)
    statuses = frozenset({0} if harmless else {0, 2})
    way = int(random.integers(4))
    if way == 0:
        command: tuple[str, ...] = (
            "infer",
            "score",
            "score/score.onnx",
            "--events",
            "events.h5",
            "--out",
            "out.h5",
            "--threads",
            "1",
        )
        return Case(f"score, {what}", command, ("out.h5",), statuses, lambda ran: oracles.scores("events.h5", "out.h5"))
    if way == 1:
        command = ("benchmarks", "validate", "events.h5", "--mass", "m", "--features", "x", "y")
        return Case(f"validate, {what}", command, (), statuses, lambda ran: oracles.events("events.h5"))
    name, suite = pick(random, (("search.yaml", SUITE), ("labelled.yaml", LABELLED)))
    window = yaml.safe_load(Path(name).read_text())["windows"][0]
    command = ("benchmarks", "task", name, "--out", "out.h5")
    return Case(
        f"task of {name}, {what}", command, ("out.h5",), statuses, lambda ran: oracles.task(suite, "out.h5", window)
    )


def heavy(random: Random, base: Path) -> Case:
    """Describe changed events, with figures."""
    what, harmless = _made(random, base)
    command = ("benchmarks", "describe", "events.h5", "--mass", "m", "--out", "figures")
    statuses = frozenset({0} if harmless else {0, 2})

    def right(ran: Any) -> str:
        oracles.table("events.h5", "/", ("m",))
        return "" if Path("figures/spectrum.png").is_file() and "events" in ran.out else "no figures"

    return Case(f"describe, {what}", command, ("figures",), statuses, right)

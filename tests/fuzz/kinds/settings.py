"""Suites with settings out of range, and runs of changed suites in the folder of a finished one."""

import copy as copies
import math
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.fuzz.kinds import suites
from tests.fuzz.material import SUITE, Random, copy, pick
from tests.fuzz.verdict import Case, Ran

TRIED: tuple[Any, ...] = (-1, 0, 1, 2, 1.0, 0.5, 0.0, -0.5, math.nan, math.inf, 1e-300, True, None, "1", [], 2**64)
SETTINGS = {
    "classifier": "members iterations learning_rate leaves bins validation patience hidden layers",
    "classifier.training": "steps interval batch learning_rate ema validation clip momentum weight_decay",
    "shared.sideband.flow": "couplings hidden layers bins bound least",
    "shared.sideband.training": "steps drops batch learning_rate ema validation patience momentum",
    "methods.cwola": "strip",
}
# The least of those that are whole numbers; the open range of the others, and those that may lie at its lower end.
LEAST = dict.fromkeys(["members", "iterations", "steps", "interval", "batch", "hidden", "couplings", "patience"], 1)
LEAST |= {"leaves": 2, "bins": 2, "layers": 0}
BELOW = dict.fromkeys(["ema", "validation", "momentum", "least"], 1.0)
BELOW |= dict.fromkeys(["learning_rate", "clip", "strip", "bound", "weight_decay"], math.inf)
FROM_ZERO = ("ema", "validation", "momentum", "weight_decay")


def sensible(name: str, value: Any) -> bool:
    """Whether the value of a setting makes sense, judged by its name."""
    if value is None:
        return name == "patience"
    if type(value) not in (int, float) or not math.isfinite(value):
        return False
    if name in LEAST:
        return type(value) is int and LEAST[name] <= value < 2**31
    return 0 < value < BELOW[name] or (value == 0 and name in FROM_ZERO)


def _setting(random: Random, content: dict[str, Any]) -> tuple[str, bool]:
    """One setting, out of its range or within."""
    place = pick(random, list(SETTINGS))
    name, value = pick(random, SETTINGS[place].split()), pick(random, TRIED)
    holder = content
    for step in place.split("."):
        holder = holder.setdefault(step, {})
    holder[name] = value
    if "training" in place or name in ("hidden", "layers"):
        content["classifier"]["kind"] = "mlp"
    suites.FILE.write_text(yaml.safe_dump(content, sort_keys=False))
    return f"{place}.{name}: {value!r}", not sensible(name, value)


def heavy(random: Random, base: Path) -> Case:
    """Check the settings of a changed suite, or start its run up to Snakemake."""
    if random.random() < 0.5:
        copy(base, "events.h5")
        what, refused = _setting(random, copies.deepcopy(SUITE))
    else:
        what, refused = suites.made(random, base)
    statuses = frozenset({2} if refused else {0, 2})
    if random.random() < 0.6:
        return Case(f"check, {what}", ("train", "check", "search.yaml"), (), statuses)
    fresh = ("--fresh",) if random.random() < 0.3 else ()
    finished = Path("runs/search/report/index.html")
    if random.random() < 0.6:
        copy(base, "runs/search")
    kept = finished.exists() and not fresh
    command = ("benchmarks", "run", "search.yaml", "--stage", "train", "--cores", "1", *fresh)

    def right(ran: Ran) -> str:
        return "the report of the finished run is gone" if kept and not finished.exists() else ""

    return Case(f"run, {what}", command, ("runs",), statuses, right, before=stubbed)


def stubbed() -> None:
    """Let `run` ask the training stage in this process, and stop before Snakemake."""
    from sideband.benchmarks.grid import run as grid
    from sideband.benchmarks.grid.workflow import Workflow
    from sideband.train import __main__ as train

    def call(package: str, *arguments: str) -> None:
        if arguments[0] == "check":
            sys.argv = [package, *arguments]
            train.main()

    grid.call = call
    Workflow.run = lambda workflow, owner: True  # type: ignore[method-assign]

"""Tasks with attributes, groups, units, windows and features that are wrong, or not those of the model."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.fuzz import damage, oracles
from tests.fuzz.material import Random, copy, pick
from tests.fuzz.verdict import Case, Ran

FILE = Path("task.h5")
OUT = ("--out", "out.h5", "--threads", "1")

# What makes it a task for another model: no command that takes an export may accept it.
FOREIGN: dict[str, Any] = {
    "window": ([2.6, 2.9], [3.3, 3.8], [3300.0, 3700.0]),
    "features": (["y", "x"], ["x"], ["x", "y", "m"], ["x", "z"]),
    "mass": ("x", "mass"),
    "dataset_sha256": ("0" * 64, "no digest"),
}
ODD: dict[str, Any] = {
    "kind": ("scores", "", 5, np.bytes_("task"), [1, 2]),
    "window": ([3.7, 3.3], [np.nan, 3.7], [3.3], 3.3, "3.3-3.7", [3.3, np.inf], h5py.Empty("f8"), [[3.3, 3.7]]),
    "mass_range": ([5.0, 2.3], [np.nan, 1], "all", [3.4, 3.6], 1),
    "seed": (-1, 2.5, "x", 2**63, 2**64 - 1, [1, 2], np.nan),
    "features": ([], "x", 5, ["x", "x"], [b"x", b"y"], h5py.Empty("f8")),
    "mass": (5, "", np.bytes_("m"), ["m"], ["m", "x"]),
    "oversampling": (0, -1, "x", np.nan),
    "injection": ("x", -1, 1e300),
    "dataset_sha256": (5, "", np.bytes_("0" * 64)),
    "dataset": (5, np.bytes_(b"\xff")),
    "validation": ("x", np.nan),
    "data_in_range": ("x", -5),
}


def _attribute(random: Random) -> tuple[str, bool]:
    foreign = random.random() < 0.35
    known = FOREIGN if foreign else ODD
    name = pick(random, list(known))
    value = pick(random, known[name])
    with h5py.File(FILE, "r+") as file:
        del file.attrs[name]
        if foreign or random.random() < 0.8:
            file.attrs[name] = value
    return f"{name} = {value!r:.50}", foreign


def _group(random: Random) -> tuple[str, bool]:
    name = pick(
        random, ("data", "test", "truth", "reference", "target", "data/x", "data/m", "test/label", "truth/label")
    )
    links: dict[str, Any] = {
        "dangling": h5py.SoftLink("/nowhere"),
        "a loop": h5py.SoftLink(f"/{name}"),
        "a number": 1.0,
    }
    links |= {
        "empty": np.zeros(0, "f4"),
        "a word": "x",
        "short": np.full(7, 3.5, "f4"),
        "wide": np.ones((7, 2), "f4"),
        "missing": None,
    }
    way = pick(random, list(links))
    with h5py.File(FILE, "r+") as file:
        del file[name]
        if links[way] is not None:
            file[name] = links[way]
    return f"{name} {way}", False


def _unit(random: Random) -> tuple[str, bool]:
    name, unit = pick(random, ("m", "x")), pick(random, ("GeV", np.bytes_("GeV"), np.bytes_("TeV"), 5, ""))
    with h5py.File(FILE, "r+") as file:
        for group in ("data", "test", "reference"):
            file[group][name].attrs["unit"] = unit
        if name == "m":
            file["target"].attrs["unit"] = unit
    return f"unit of {name} {unit!r}", unit in ("GeV", np.bytes_("GeV"))


def _values(random: Random) -> tuple[str, bool]:
    name = pick(random, ("target", "data/x", "data/m", "test/x", "truth/label", "test/label"))
    value = pick(random, (np.nan, np.inf, -1e39, 7.0))
    with h5py.File(FILE, "r+") as file:
        values = file[name][()].astype("f8")
        values[pick(random, (slice(0, 1), slice(None)))] = value
        del file[name]
        file[name] = values
    return f"{name} holds {value}", False


def _damaged(random: Random) -> tuple[str, bool]:
    return damage.file(random, FILE), False


def _other(random: Random) -> tuple[str, bool]:
    name = pick(random, ("events.h5", "template.h5", "test_scores.h5"))
    FILE.write_bytes(Path(name).read_bytes())
    return f"{name} in its place", False


WAYS = (_attribute, _attribute, _attribute, _group, _group, _unit, _values, _damaged, _damaged, _other)
FILES = ("task.h5", "events.h5", "template.h5", "test_scores.h5")


def light(random: Random, base: Path) -> Case:
    """Generate a template on a changed task, or score its events."""
    copy(base, *FILES, "template", "morphing", "score")
    what, foreign = pick(random, WAYS)(random)
    statuses = frozenset({2} if foreign else {0, 2})
    way = pick(random, ("template", "morphing", "score"))
    if way == "score":
        group = pick(random, ("data", "test", "data", "reference", "truth", "/", "nope"))
        command: tuple[str, ...] = ("infer", "score", "score/score.onnx", "--events", "task.h5", "--group", group, *OUT)
        # Scores take no mass: another name or unit of it does no harm, and neither do other data.
        statuses |= {0} if what.startswith(("unit of m", "mass =", "dataset_sha256 =")) else set()
        return Case(
            f"score {group} of a task, {what}",
            command,
            ("out.h5",),
            statuses,
            lambda ran: oracles.scores("task.h5", "out.h5", group),
        )
    command = ("infer", "template", f"{way}/template.onnx", "--task", "task.h5", *OUT)
    if what.startswith("dataset_sha256") and way == "morphing":  # it does not say what it was fitted to
        statuses |= {0}

    def right(ran: Ran) -> str:
        return oracles.template("task.h5", "out.h5", morphing=way == "morphing")

    return Case(f"{way} on a task, {what}", command, ("out.h5",), statuses, right)


def heavy(random: Random, base: Path) -> Case:
    """Evaluate scores and templates on a changed task, or its control; fit on it, or export with it."""
    way = pick(random, ("evaluate", "control", "fit", "export"))
    copy(base, *FILES, *({"fit": ("labelled.yaml", "events.h5"), "export": ("iad",)}.get(way, ())))
    what, foreign = pick(random, WAYS)(random)
    commands: dict[str, tuple[str, ...]] = {
        "evaluate": ("benchmarks", "evaluate", "--task", "task.h5", "--scores", "test_scores.h5", "--out", "out.json"),
        "control": ("benchmarks", "control", "--task", "task.h5", "--closure-events", "100", "--out", "out.json"),
        "fit": (
            "train",
            "fit",
            "iad",
            "--task",
            "task.h5",
            "--suite",
            "labelled.yaml",
            "--log",
            "later",
            "--out",
            "out",
        ),
        "export": ("export", "cell", "iad/model.pt", "--task", "task.h5", "--out", "out"),
    }

    def right(ran: Ran) -> str:
        if way == "fit":
            return "" if Path("out/model.pt").is_file() and Path("out/fit.json").is_file() else "no fit"
        if way == "export":
            return "" if Path("out/score.onnx").is_file() and Path("out/check.npz").is_file() else "no export"
        return oracles.numbers("out.json")

    statuses = frozenset({2} if foreign and way == "export" and not what.startswith("unit") else {0, 2})
    return Case(f"{way} on a task, {what}", commands[way], ("out.json", "out"), statuses, right)

"""Outputs: inputs, links, folders, pipes, devices, odd names, and full disks, for every command that writes."""

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.fuzz import damage, oracles
from tests.fuzz.material import Random, copy, pick
from tests.fuzz.verdict import Case

OUT = "OUT"  # stands for the output in a command below


Line = tuple[tuple[str, ...], tuple[str, ...], bool]

# Command, files it needs, its inputs, and whether its output is a folder.
TIMED = ("--batches", "10", "--repeats", "3", "--seconds", "0.001", "--file-events", "10", "--threads", "1")
TASK = ("--task", "task.h5", "--out", OUT)
LIGHT = (
    (("infer", "template", "template/template.onnx", *TASK, "--threads", "1"), ("template", "task.h5"), False),
    (("infer", "score", "score/score.onnx", "--events", "events.h5", "--out", OUT), ("score", "events.h5"), False),
    (("infer", "throughput", "score/score.onnx", *TASK, *TIMED), ("score", "task.h5"), False),
    (("benchmarks", "task", "search.yaml", "--out", OUT), ("search.yaml", "events.h5"), False),
)
HEAVY = (
    (("benchmarks", "evaluate", "--scores", "test_scores.h5", *TASK), ("task.h5", "test_scores.h5"), False),
    (("benchmarks", "control", "--closure-events", "100", *TASK), ("task.h5",), False),
    (("benchmarks", "describe", "events.h5", "--mass", "m", "--out", OUT), ("events.h5",), True),
    (
        ("train", "fit", "iad", "--suite", "labelled.yaml", "--log", "later", *TASK),
        ("labelled.yaml", "task.h5", "events.h5"),
        True,
    ),
    (("export", "cell", "iad/model.pt", *TASK), ("iad/model.pt", "task.h5"), True),
    (
        ("export", "compare", "cathode/model.pt", "template/template.onnx", *TASK, *TIMED[:6]),
        ("cathode/model.pt", "task.h5", "template/template.onnx"),
        False,
    ),
)
NAMES = (
    "a b.h5",
    "é\u202e.h5",
    "a\nb.h5",
    "-1.h5",
    "%00.h5",
    "x" * 250,
    "x" * 300,
    "x" * 5000,
    "\udcff.h5",
    "\x01.h5",
    ".h5",
    "~",
    "*",
    "out.h5.",
    "a\\b",
)
SYSTEM = (
    "/proc/out.h5",
    "/proc/self/out.h5",
    "/proc/self/mem",
    "/sys/out.h5",
    "/proc/sys/kernel/hostname/x",
    "/proc/1/root/proc/x/out.h5",
)
BAD = ("", ".", "..", "/", "./", "nul\0.h5", "none/..")  # of a file; a folder may be called any of them but one


def _places(random: Random, inputs: list[str], folder: bool) -> tuple[str, str, frozenset[int]]:
    """A place to write to, its description, and the right exit statuses."""
    given = pick(random, inputs)
    refused, either, done = frozenset({2}), frozenset({0, 2}), frozenset({0})

    def made(make: Callable[[], object], name: str = "out.h5") -> str:
        make()
        return name

    places: dict[str, tuple[Callable[[], str], frozenset[int]]] = {
        "a new name": (lambda: "out.h5", done),
        "a new folder": (lambda: "a/b/c/out.h5", done),
        "an input": (lambda: given, refused),
        "an input by another name": (lambda: f"./tmp/../{given}", refused),
        "a hard link to an input": (lambda: made(lambda: os.link(given, "out.h5")), refused),
        "a link to an input": (lambda: made(lambda: os.symlink(given, "out.h5")), refused),
        "a link to a folder": (lambda: made(_link_to_folder), either if folder else refused),
        "a link to nothing": (lambda: made(lambda: os.symlink("nothing", "out.h5")), either if folder else refused),
        "a link to itself": (lambda: made(lambda: os.symlink("out.h5", "out.h5")), refused),
        "a folder": (lambda: made(lambda: os.mkdir("out.h5")), done if folder else refused),
        "a file": (lambda: made(lambda: Path("out.h5").write_text("old")), refused if folder else done),
        "a pipe": (lambda: made(lambda: os.mkfifo("out.h5")), refused),
        "a device": (lambda: made(_device), refused),
        "a socket": (lambda: made(lambda: socket.socket(socket.AF_UNIX).bind("out.h5")), refused),
        "inside a file": (lambda: f"{given}/out.h5", refused),
        "inside a pipe": (lambda: made(lambda: os.mkfifo("pipe"), "pipe/out.h5"), refused),
        "below a link to itself": (lambda: made(lambda: os.symlink("loop", "loop"), "loop/out.h5"), refused),
        "a name": (lambda: pick(random, NAMES), either),
        "a bad name": (lambda: "nul\0.h5" if folder else pick(random, BAD), refused),
        "the system's": (lambda: pick(random, SYSTEM), refused),
    }
    what = pick(random, list(places))
    make, statuses = places[what]
    return make(), what, statuses


def _link_to_folder() -> None:
    os.mkdir("linked")
    os.symlink("linked", "out.h5")


def _device() -> None:
    """A device that discards everything, like /dev/null; a pipe if only root may create devices."""
    try:
        os.mknod("out.h5", 0o666 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        os.mkfifo("out.h5")


def _case(lines: tuple[Line, ...], random: Random, base: Path) -> Case:
    words, files, folder = pick(random, lines)
    copy(base, *files)
    inputs = [name for name in files if Path(name).is_file()] + [word for word in words[2:3] if Path(word).is_file()]
    largest = None
    if random.random() < 0.25:
        out, what, statuses = pick(random, ("out.h5", "a/b/out.h5")), "a full disk", frozenset({0, 2})
        largest = int(random.choice([0, 1, 100, 1000, 4096, 20_000]))
        what = f"a disk full at {largest} bytes"
    else:
        out, what, statuses = _places(random, inputs, folder)
    if words[1] == "compare":  # the hand-made graph is not the fit's
        statuses = frozenset({2})
    if random.random() < 0.15:
        statuses |= {2}
        what += f", and {damage.file(random, Path(pick(random, inputs)))}"
    command = tuple(out if word is OUT else word for word in words)
    return Case(
        f"{' '.join(words[:2])} to {what}, {out!r:.60}",
        command,
        (out, "linked", "nothing"),
        statuses,
        lambda ran: "" if ran.status else _right(words, out),
        largest,
    )


def _right(words: tuple[str, ...], out: str) -> str:
    if words[1] == "template":
        return oracles.template("task.h5", out)
    if words[1] == "score":
        return oracles.scores("events.h5", out)
    if words[1] in ("throughput", "evaluate", "control"):
        return oracles.numbers(out)
    made = {"task": "", "describe": "spectrum.png", "fit": "model.pt", "cell": "check.npz"}
    return "" if Path(out, made[words[1]]).is_file() else "nothing was written"


light = partial(_case, LIGHT)
heavy = partial(_case, HEAVY)

"""Fits: a model.pt or a checkpoint that is damaged, lacks keys, has other shapes, or is of another method."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import damage
from tests.fuzz.material import Random, copy, pick
from tests.fuzz.verdict import Case, Ran

FIT = ("--suite", "labelled.yaml", "--task", "task.h5", "--log", "later", "--out", "out")


def _inside(random: Random, path: Path) -> str:
    """Damage one record of the zip archive, and rewrite the archive with a matching checksum."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    name = pick(random, [name for name in held if held[name]])
    record = bytearray(held[name])
    record[int(random.integers(len(record)))] ^= 1 << int(random.integers(8))
    held[name] = bytes(record[: pick(random, (len(record), len(record), len(record) // 2))])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for each, content in held.items():
            archive.writestr(each, content)
    return f"record {name} damaged"


def _content(random: Random, path: Path) -> str:
    """Change one entry of a saved fit."""
    import torch

    content = torch.load(path, weights_only=True)
    if random.random() < 0.5:
        tensors = list(_tensors(content))
        holder, key, name = pick(random, tensors)
        value = holder[key]
        ways: dict[str, Callable[[], Any]] = {
            "nan": lambda: torch.full_like(value, float("nan")) if value.is_floating_point() else value - 9,
            "flattened": lambda: value.reshape(-1)[:-1],
            "negative": lambda: -value - 1,
            "of type int": lambda: value.int(),
            "sparse": lambda: torch.zeros(3, 3).to_sparse(),
            "a number": lambda: 1.0,
        }
        way = pick(random, list(ways))
        holder[key] = ways[way]()
        said = f"{name} {way}"
    else:
        shown = {key: value for key, value in content.items() if key not in ("modules", "classifier", "folds")}
        shown, said = damage.tree(random, shown)
        content = {**{key: content[key] for key in ("modules", "classifier", "folds")}, **shown}
    torch.save(content, path)
    return said


def _tensors(content: Any, name: str = "") -> Any:
    import torch

    for key, value in (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    ):
        if isinstance(value, torch.Tensor):
            yield content, key, f"{name}{key}"
        yield from _tensors(value, f"{name}{key}.")


def _other(random: Random, path: Path) -> str:
    import torch

    others: dict[str, Any] = {
        "a list": [1],
        "a tensor": torch.zeros(3),
        "nothing": {},
        "a number": 5,
        "a name": {"method": "iad"},
    }
    name = pick(random, list(others))
    torch.save(others[name], path)
    return f"holds {name}"


def _bytes(random: Random, path: Path) -> str:
    return damage.file(random, path)


WAYS = (_bytes, _bytes, _bytes, _inside, _content, _content, _content, _other)


def heavy(random: Random, base: Path) -> Case:
    """Export a changed fit, base another on it, or resume from changed checkpoints."""
    draw = random.random()
    if draw < 0.25:
        return _resumed(random, base)
    copy(base, "task.h5", "labelled.yaml", "events.h5")
    if draw < 0.6:
        copy(base, "iad/model.pt", "iad/score.onnx")
        Path("iad/score.onnx").rename("right.onnx")
        what = pick(random, WAYS)(random, Path("iad/model.pt"))
        command: tuple[str, ...] = ("export", "cell", "iad/model.pt", "--task", "task.h5", "--out", "out")
        damaged = what.startswith("model.pt")
        allowed = frozenset({0, 2} if damaged else {0, 1, 2})
        return Case(f"export of a fit, {what}", command, ("out",), allowed, lambda ran: _exported(ran, damaged))
    needed = pick(random, ("sideband", "sideband", "iad", "cathode"))
    copy(base, f"{needed}/model.pt")
    what = "as it is" if needed != "sideband" else pick(random, WAYS)(random, Path("sideband/model.pt"))
    command = ("train", "fit", "cathode", *FIT, "--needs", f"sideband={needed}/model.pt")
    statuses = frozenset({0, 1, 2} if needed == "sideband" else {2})
    return Case(f"cathode on a fit of {needed}, {what}", command, ("out",), statuses, _finite)


def _resumed(random: Random, base: Path) -> Case:
    copy(base, "task.h5", "labelled.yaml", "events.h5", "iad/model.pt")
    shutil.copytree(base / "killed", "out")
    path = pick(random, [path for path in sorted(Path("out").rglob("*")) if path.is_file() and path.stat().st_size])
    what = damage.file(random, path) if random.random() < 0.9 else f"{path.name} as it was"
    return Case(f"iad from checkpoints, {what}", ("train", "fit", "iad", *FIT), ("out",), right=_resumed_right)


def _resumed_right(ran: Ran) -> str:
    from sideband.train import saved

    one, other = (vars(saved.load(path).classifier) for path in ("out/model.pt", "iad/model.pt"))
    same = all(np.array_equal(one[name], other[name]) for name in one)
    return "" if same else "the fit is another one than that which was never interrupted"


def _finite(ran: Ran) -> str:
    if ran.status == 1:
        return "" if "failed: " in ran.err else "status 1 without a reason"
    import h5py

    with h5py.File("out/template_torch.h5") as file:
        return "" if all(np.isfinite(column[()]).all() for column in file.values()) else "a template that is not finite"


def _exported(ran: Ran, damaged: bool) -> str:
    """A fit with damaged bytes gives the scores of the intact one, or none."""
    import onnxruntime

    from tests.fuzz import oracles

    if ran.status == 1:
        return "" if "failed: " in ran.err else "status 1 without a reason"
    told = oracles.table("task.h5", "test", ("x", "y"))
    features = np.stack([told["x"], told["y"]], axis=1)
    found = [
        onnxruntime.InferenceSession(path).run(None, {"features": features})[0]
        for path in ("out/score.onnx", "right.onnx")
    ]
    if not np.isfinite(found[0]).all():
        return "scores that are not finite"
    return "scores of a damaged fit" if damaged and not np.allclose(found[0], found[1], atol=1e-5) else ""

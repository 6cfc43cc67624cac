"""The material of all cases: events, suites, tasks, exported files and fits, all tiny and made once per server."""

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from sideband.benchmarks.grid import suite as suites
from sideband.infer import events
from sideband.infer.errors import guarded
from sideband.infer.model import Model
from sideband.infer.score import score
from sideband.infer.template import generate
from tests.infer import graphs

T = TypeVar("T")
Random = np.random.Generator

COLUMNS = {"m": "TeV", "x": "TeV", "y": "", "truth": ""}
WINDOW, MASS_RANGE = [3.3, 3.7], [2.3, 5.0]
TINY = {"members": 2, "iterations": 5, "bins": 15}
TRAINING = {"steps": 10, "interval": 10, "batch": 256, "learning_rate": 0.001, "ema": 0.9}
SUITE: dict[str, Any] = {
    "about": "events of the fuzzing suite",
    "dataset": {"source": "hdf5", "data": "events.h5", "mass": {"column": "m", "unit": "TeV"}, "features": ["x", "y"]},
    "mass_range": MASS_RANGE,
    "windows": [WINDOW],
    "validation_windows": [[2.7, 3.1]],
    "seeds": [1],
    "excess": {"folds": 2, "efficiencies": [0.1]},
    "classifier": TINY,
    "shared": {"sideband": {"flow": {"couplings": 1, "hidden": 8, "layers": 1}, "training": TRAINING}},
    "methods": {"cathode": {}, "cwola": {}},
}
# The same events with their labels, and signal to inject.
LABELLED: dict[str, Any] = {
    **{key: value for key, value in SUITE.items() if key not in ("excess", "validation_windows")},
    "dataset": {**SUITE["dataset"], "label": "truth"},
    "injections": [50, 0],
    "background_seeds": [1, 2],
    "methods": {"cathode": {}, "cwola": {}, "iad": {}},
}


def pick(random: Random, things: Sequence[T]) -> T:
    """Pick one thing at random."""
    return things[int(random.integers(len(things)))]


def columns(background: int = 3000, signal: int = 300) -> dict[str, NDArray[Any]]:
    """Events in the order of `COLUMNS`: the mass is flat, and the signal narrow within the window."""
    random = np.random.default_rng(0)
    truth = random.permutation(background + signal) < signal
    mass = np.where(
        truth, random.normal(3.5, 0.05, len(truth)), random.uniform(MASS_RANGE[0], MASS_RANGE[1], len(truth))
    )
    x, y = random.uniform(0, 1, (2, len(truth)))
    values = {"m": mass, "x": x, "y": np.where(truth, 0.2 * y, y)}
    return {**{name: column.astype(np.float32) for name, column in values.items()}, "truth": truth.astype(np.int8)}


def write_events(path: Path, given: dict[str, NDArray[Any]], **options: Any) -> None:
    """Write columns as an events file; `options` are h5py's for each column."""
    with h5py.File(path, "w") as file:
        for name, values in given.items():
            file.create_dataset(name, data=values, **options).attrs["unit"] = COLUMNS[name]


def make_light(root: Path) -> None:
    """Events, suites, tasks, and hand-made graphs, with a template and scores made by them."""
    base = root / "base"
    base.mkdir()
    write_events(base / "events.h5", columns())
    for name, content in (("search", SUITE), ("labelled", LABELLED)):
        (base / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    suites.load(base / "labelled.yaml").draw("3.3-3.7", "n50", "s1", base / "task.h5")
    suites.load(base / "search.yaml").draw("3.3-3.7", "observed", "s1", base / "own.h5")
    with h5py.File(base / "task.h5") as file:
        drawn_from = str(file.attrs["dataset_sha256"])
    told: dict[str, Any] = {"window": WINDOW, "mass_range": MASS_RANGE, "dataset_sha256": drawn_from}
    for name in ("template", "morphing", "score"):
        folder = base / name
        folder.mkdir()
        if name == "morphing":
            path = graphs.morphing(folder / "template.onnx")
        else:
            path = getattr(graphs, name)(folder / f"{name}.onnx", **told)
            graphs.check_vectors(path)
        vouch(path)
    generate(Model(base / "template" / "template.onnx"), base / "task.h5", base / "template.h5", threads=1)
    for group in ("test", "data"):
        score([Model(base / "score" / "score.onnx")], base / "task.h5", base / f"{group}_scores.h5", group, threads=1)
    score([Model(base / "score" / "score.onnx")], base / "template.h5", base / "template_scores.h5", threads=1)


def vouch(path: Path) -> None:
    """Write the export.json beside a hand-made graph."""
    record = [{"file": path.name, "sha256": events.sha256(path), "role": path.stem}]
    path.with_name("export.json").write_text(json.dumps(record))


def make_heavy(root: Path) -> None:
    """Fits on the labelled task, one of them unfinished, and an export."""
    os.chdir(root / "base")
    suite = ("--suite", "labelled.yaml", "--task", "task.h5", "--log", "later")
    called("train", "fit", "iad", *suite, "--out", "iad")
    pid = os.fork()
    if not pid:
        _die_at_second_member()
        called("train", "fit", "iad", *suite, "--out", "killed")
    os.waitpid(pid, 0)
    assert Path("killed/checkpoints/classifier-0.npz").is_file()
    called("export", "cell", "iad/model.pt", "--task", "task.h5", "--out", "iad")
    called("train", "fit", "sideband", *suite, "--out", "sideband")
    called("train", "fit", "cathode", *suite, "--out", "cathode", "--needs", "sideband=sideband/model.pt")
    place = Path("runs/labelled/3.3-3.7/n50/s1")
    shutil.copytree("iad", place / "iad")
    shutil.copy2("task.h5", place)
    suites.load("labelled.yaml").save(Path("runs/labelled/suite.json"))
    suites.load("search.yaml").save(Path("runs/search/suite.json"))
    Path("runs/search/report").mkdir()
    Path("runs/search/report/index.html").write_text("what a finished run has left")
    given = ("--task", "task.h5", "--closure-events", "100", "--out")
    called("benchmarks", "evaluate", "--scores", "test_scores.h5", *given, str(place / "iad" / "evaluation.json"))
    called("benchmarks", "control", *given, "runs/labelled/3.3-3.7/control.json")


def _die_at_second_member() -> None:
    """Let a fit of trees end as if killed, after it has saved the first member of its ensemble."""
    from sideband.train.classifiers.trees import TreeEnsemble

    save = TreeEnsemble.save

    def once(trees: TreeEnsemble, path: Path) -> None:
        if "classifier-1" in str(path):
            os._exit(0)
        save(trees, path)

    TreeEnsemble.save = once  # type: ignore[assignment,method-assign]


def called(package: str, *arguments: str) -> None:
    """Run a command in this process, in silence; it must succeed."""
    sys.argv = [package, *arguments]
    try:
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
            guarded(importlib.import_module(f"sideband.{package}.__main__").main)
    except SystemExit as left:
        if left.code:
            raise RuntimeError(f"python -m {package} {' '.join(arguments)}: status {left.code}") from left


def copy(base: Path, *names: str) -> None:
    """Copy files or folders of the base material to the current folder."""
    for name in names:
        if (base / name).is_dir():
            shutil.copytree(base / name, name, dirs_exist_ok=True)
        else:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(base / name, name)

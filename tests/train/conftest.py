from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch

from sideband.benchmarks import catalogue, entries
from sideband.benchmarks.grid import suite
from sideband.benchmarks.tracking.journal import Record
from sideband.train.cell import fit_cell
from sideband.train.run import Run

CELL = {
    "suite": "test",
    "method": "cathode",
    "window": "3.3-3.7",
    "injection": "n0",
    "seed": "s1",
    "settings": {"width": 8, "training": {"steps": 20}},
    "dataset": "toy events",
    "dataset_sha256": "0" * 64,
}


NewRun = Callable[..., Run]
FitOf = Callable[[str, Path, Path], Path]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Results are bitwise the same at a fixed number of threads."""
    torch.set_num_threads(1)


@pytest.fixture
def new_run(tmp_path: Path) -> NewRun:
    """Makes the surroundings of a fit; the same folder again is the same fit gone on with."""

    def make(folder: str = "run", checkpoint_seconds: float = 0.0) -> Run:
        place = tmp_path / folder
        record = Record(place, CELL)
        return Run("toy", 1, torch.device("cpu"), place / "checkpoints", record, checkpoint_seconds)

    return make


@pytest.fixture(scope="session")
def fit_of() -> FitOf:
    """Fits a method as its smoke suite would, after the shared fits it stands on; returns model.pt."""
    suites = {"search": suite.load("smoke"), "showers": suite.load("smoke_showers")}

    def fit(method: str, task: Path, out: Path) -> Path:
        smoke = suites[catalogue.get(method).problem]
        given = smoke.settings(method) or smoke.settings(catalogue.get(method).file or method)
        needs = {name: fit(name, task, out) for name in entries.needs(method, given)}
        if not (out / method / "model.pt").exists():
            folds = 2 if catalogue.get(method).problem == "search" else 0
            fit_cell(method, task, out / method, given, smoke["classifier"], needs, folds)
        return out / method / "model.pt"

    return fit


@pytest.fixture(scope="session")
def unlabelled_task(small_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small task as somebody without the truth would have it."""
    return without_truth(small_task, tmp_path_factory.mktemp("unlabelled") / "task.h5")


def without_truth(task: Path, path: Path) -> Path:
    """Write a copy of a task without its labels to `path`; those of showers, which have them always, are made wrong."""
    path.write_bytes(task.read_bytes())
    with h5py.File(path, "a") as file:
        if "window" not in file.attrs:
            for group, name in (("test", "label"), ("test", "sample"), ("reference", "label")):
                file[group][name][:] = 0
            return path
        for group in {"truth", "reference", "test"} & set(file):
            del file[group]
        told = {"injection", "signal_in_window", "background_in_window", "significance", "samples"}
        for name in told & set(file.attrs):
            del file.attrs[name]
    return path

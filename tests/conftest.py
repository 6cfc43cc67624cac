"""Fixtures that several folders share: small events, a small task, and the command lines in this process."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

# Two workers share the cores, and OpenMP's threads wait for each other by spinning. Read when the libraries load.
os.environ["OMP_NUM_THREADS"] = "1"

from sideband.benchmarks.events import showers as readers
from sideband.benchmarks.events import sources, tables
from sideband.benchmarks.problems.search import draw
from sideband.benchmarks.problems.showers import draw as showers
from sideband.benchmarks.simulate.showers import simulation
from sideband.benchmarks.simulate.showers.decays import Decay
from sideband.benchmarks.simulate.showers.decays import decays as simulated
from sideband.infer import errors

ToyEvents = Callable[..., Path]
NewStore = Callable[[], str]

# The dataset section of a suite for what `toy_events` writes.
OWN: dict[str, Any] = {
    "source": "hdf5",
    "data": "own.h5",
    "mass": {"column": "m_vis", "unit": "GeV"},
    "features": ["width", "n_tracks", "charge"],
}


@pytest.fixture(scope="session")
def dijets() -> tables.Dataset:
    """The embedded events, all of them."""
    return sources.load({"source": "dijets"}, Path())


@pytest.fixture(scope="session")
def small_task(dijets: tables.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of every twentieth embedded event, with 600 of signal injected over 2.3-5.0 TeV."""
    assert dijets.background is not None
    assert dijets.simulation is not None
    few = replace(
        dijets,
        data=dijets.data[::20],
        background=dijets.background[::20],
        simulation=dijets.simulation[::20],
    )
    path = tmp_path_factory.mktemp("small") / "task.h5"
    draw.make(few, draw.Recipe((2.3, 5.0), (3.3, 3.7), injection=600, seed=1), path)
    return path


@pytest.fixture(scope="session")
def shower_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of showers in files: 2,000 photons to fit, 1,000 to test, and χ of 5 GeV and of 5 MeV."""
    folder = tmp_path_factory.mktemp("showers")
    content: dict[str, Any] = {"source": "shower_files", "decays": []}
    for name, count in (("data", 2000), ("test", 1000)):
        readers.write(folder / f"{name}.h5", simulation.photons(count, 1, name))
    decays = [Decay(5, depth=0.66), Decay(5, lifetime=1.0), Decay(0.005, depth=1.24), Decay(0.005, lifetime=1.0)]
    for index, decay in enumerate(decays):
        made = simulated(decay, 500, 1)
        readers.write(folder / f"{index}.h5", made[made.voxels.any(axis=1)])
        told = {"mass": decay.mass, "depth": decay.depth, "lifetime": decay.lifetime}
        content["decays"].append({"file": f"{index}.h5", **{key: each for key, each in told.items() if each}})
    content |= {"data": "data.h5", "test": "test.h5", "targets": 1000}
    files, identity = sources.files(content, folder), sources.identity(content, folder)
    showers.make(content, files, identity, 1, folder / "task.h5")
    return folder / "task.h5"


@pytest.fixture(scope="session")
def toy_events() -> ToyEvents:
    """Writes events with foreign names: the mass `m_vis` in GeV, and the features `width`, `n_tracks`, `charge`."""

    def write(path: Path, background: int = 6000, signal: int = 0, label: str | None = None, seed: int = 0) -> Path:
        random = np.random.default_rng(seed)
        total = background + signal
        is_signal = random.permutation(total) < signal
        mass = np.where(is_signal, random.normal(3500, 100, total), 2000 + random.exponential(1000, total))
        columns = {
            "m_vis": mass,
            "width": random.gamma(2 + is_signal, 0.1),
            "n_tracks": random.poisson(30 - 10 * is_signal).astype(float),
            "charge": random.normal(0, 1, total) + mass / 10_000,
        }
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values.astype(np.float32)
            file["m_vis"].attrs["unit"] = "GeV"
            if label:
                file[label] = is_signal.astype(np.int8)
        return path

    return write


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables and nothing in them; making them takes seconds, so it is done once."""
    runs = tmp_path_factory.mktemp("store")
    # In a process of its own, because MLflow sets its logs up when it is loaded.
    made = [sys.executable, "-m", "sideband.benchmarks", "migrate", "--runs", str(runs)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    done = subprocess.run(made, capture_output=True, text=True, env=environment, check=True)
    assert (done.stdout, done.stderr) == ("", ""), "a store is made in silence"
    return runs / "mlflow" / "local" / "mlflow.db"


@pytest.fixture
def new_store(empty_store: Path, tmp_path: Path) -> NewStore:
    """Puts an empty store in its place, over what was there."""

    def make() -> str:
        place = tmp_path / "mlflow" / "local"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_store, place / "mlflow.db")
        return f"sqlite:///{place / 'mlflow.db'}"

    return make


@dataclass(frozen=True)
class Outcome:
    """What a command line left: its exit status, stdout and stderr."""

    status: int
    out: str
    err: str

    def refused(self) -> str:
        """The one line of an `error:` with exit status 2."""
        assert self.status == 2, (self.status, self.out, self.err)
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs `python -m PACKAGE …` in this process: `command("infer", "check", path)`."""

    def run(package: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", [package, *map(str, arguments)])
        main = importlib.import_module(f"sideband.{package}.__main__").main
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            errors.guarded(main)
        found = capsys.readouterr()
        return Outcome(int(left.value.code or 0), found.out, found.err)

    return run

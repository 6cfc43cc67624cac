"""A task file as `infer` sees one: columns, target masses, and a few attributes; and work that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer.columns import ROW

WINDOW = (3.3, 3.7)
MASSES, EVENTS = 700, 7000  # more than one chunk of events


@pytest.fixture(scope="session")
def toy_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("toy") / "task.h5"
    with h5py.File(path, "w") as file:
        file.attrs["mass"], file.attrs["features"] = "m", ["x", "y"]
        file.attrs["window"], file.attrs["mass_range"] = WINDOW, (2.3, 5.0)
        file["target"] = random.uniform(*WINDOW, MASSES).astype(np.float32)
        for group in ("data", "simulation"):
            file[f"{group}/m"] = random.uniform(2.3, 5.0, EVENTS).astype(np.float32)
            file[f"{group}/x"] = random.uniform(-0.5, 1.5, EVENTS).astype(np.float32)
            file[f"{group}/y"] = random.uniform(0.0, 1.0, EVENTS).astype(np.float32)
    return path


@pytest.fixture
def task_of_files(toy_task: Path, tmp_path: Path) -> Path:
    """The task, with the row of each event of its data in a file that holds them backwards, after 100 others."""
    path = tmp_path / "of_files.h5"
    path.write_bytes(toy_task.read_bytes())
    with h5py.File(path, "a") as file:
        file[f"data/{ROW}"] = np.arange(100, 100 + EVENTS, dtype=np.uint32)[::-1]
    return path


KILLED = """
import os, signal
from sideband.infer.model import Model
from sideband.infer.score import score
from sideband.infer.template import generate

model, calls = Model({model!r}), 0
run = model.run
def counted(feeds):
    global calls
    calls += 1
    if calls == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(feeds)
model.run = counted
{work}
"""


def kill(call: int, model: Path, work: str) -> None:
    """Do `work`, Python that uses `model`, in a process of its own that dies at a call of the model."""
    script = KILLED.format(call=call, model=str(model), work=work)
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import uniform
from typing import Any

import pytest
import yaml

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Suite
from tests.conftest import ToyEvents

# A suite as somebody with own events would write it, cut down until it takes seconds.
OWN = """
about: three features of somebody else's, in GeV
mass_range: [2000, 6000]
windows: [[3300, 3700]]
seeds: [1]
classifier: {members: 2, iterations: 10, bins: 31}
closure_events: 300
shared:
  sideband:
    flow: {couplings: 1, hidden: 8, layers: 1}
    training: {steps: 60, interval: 20, batch: 256, ema: 0.9}
methods: {cathode: {}, cwola: {}}
throughput: {seconds: 0.01, repeats: 3, batches: [1000], file_events: 1000}
"""
# Of the smoke suite; the suite is run whole in the containers.
LEFT_OUT = (
    *("anode", "ranode", "supervised", "cwola", "drapes", "curtains", "feta"),
    *("reversal", "curtainsf4f", "sigma_one", "drapes_one"),
)
EVENTS = "dataset: {source: hdf5, data: %s.h5, mass: {column: m_vis, unit: GeV}, features: [width, n_tracks, charge]%s}"


@dataclass(frozen=True)
class Ran:
    """A suite that was run: its folder, and what the last run of it printed."""

    suite: Suite
    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def runs(self) -> Path:
        """The folder of all suites, which holds the store."""
        return self.folder.parent


def command(suite: str | Path, runs: Path) -> list[str]:
    """The command line of a run."""
    return [sys.executable, "-m", "sideband.benchmarks", "run", str(suite), "--runs", str(runs), "--cores", "2"]


def environment() -> dict[str, str]:
    """No server, and one thread for each of the jobs that share the cores."""
    return {**os.environ, "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1"}


def run(suite: str | Path, runs: Path) -> Ran:
    """Run a suite to its end."""
    done = subprocess.run(command(suite, runs), capture_output=True, text=True, env=environment(), check=False)
    folder = runs / Path(suite).stem
    return Ran(suites.load(folder / "suite.json"), folder, done)


def kill_after(suite: Path, runs: Path, landmark: str) -> None:
    """Start a suite and send SIGKILL to all its processes at a random moment after a file has appeared."""
    process: subprocess.Popen[Any] = subprocess.Popen(
        command(suite, runs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    while not list((runs / suite.stem).glob(landmark)):
        assert process.poll() is None, f"finished without {landmark}"
        time.sleep(0.02)
    time.sleep(uniform(0, 8))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("line") / "runs"


@pytest.fixture(scope="session")
def smoke(runs: Path) -> Ran:
    """The smoke suite, run once; for the time's sake timed briefly, and without methods that others are like."""
    content = yaml.safe_load((suites.SUITES / "smoke.yaml").read_text())
    content["methods"] = {name: content["methods"][name] for name in content["methods"] if name not in LEFT_OUT}
    content["throughput"] = yaml.safe_load(OWN)["throughput"]
    path = runs.parent / "smoke.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return run(path, runs)


@pytest.fixture(scope="session")
def killed(runs: Path, toy_events: ToyEvents) -> Ran:
    """Own events with labels; the run is killed among its fits and exports, then left to finish."""
    folder = runs.parent
    toy_events(folder / "labelled.h5", 12_000, 1000, "truth")
    suite = folder / "labelled.yaml"
    suite.write_text(OWN + "injections: [100]\n" + EVENTS % ("labelled", ", label: truth"))
    kill_after(suite, runs, "*/*/*/sideband/model.pt")
    return run(suite, runs)


@pytest.fixture(scope="session")
def unlabelled(runs: Path, toy_events: ToyEvents) -> Ran:
    """Own events without labels, with a window in the sideband to validate in."""
    folder = runs.parent
    toy_events(folder / "unlabelled.h5", 12_000, 150)
    suite = folder / "unlabelled.yaml"
    suite.write_text(
        OWN
        + "validation_windows: [[2700, 3000]]\nexcess: {folds: 2, efficiencies: [0.01]}\n"
        + EVENTS % ("unlabelled", "")
    )
    return run(suite, runs)

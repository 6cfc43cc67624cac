"""A signal to a run ends all of it, and the same command goes on; `tests/line/signals.py` does it many times over."""

import random
from pathlib import Path

import pytest

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.problems.search import draw
from sideband.train.cell import fit_cell
from tests.conftest import ToyEvents
from tests.line.conftest import EVENTS, OWN
from tests.line.signals import SIGNALS, Started, differences, moment

STORE = {"MLFLOW_TRACKING_URI": "file:///nowhere"}  # nothing is sent anywhere before the last stage
PLACE = "3300-3700/observed/s1"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, toy_events: ToyEvents) -> Started:
    """The first stage of own events, interrupted while steps are at work, and then run to its end."""
    folder = tmp_path_factory.mktemp("signals")
    toy_events(folder / "events.h5", 12_000)
    suite = folder / "interrupted.yaml"
    suite.write_text(OWN.replace("methods: {cathode: {}, cwola: {}}", "methods: {cwola: {}}") + EVENTS % ("events", ""))
    first = Started(suite, folder / "runs", "--stage", "train", **STORE)
    assert first.wait_for(lambda: first.living("-m snakemake"))
    assert first.wait_for(moment(1, 5))
    first.ask(random.choice(SIGNALS))
    second = Started(suite, folder / "runs", "--stage", "train", **STORE)
    assert second.ended() == (0, [])
    return second


def test_the_same_command_goes_on_to_the_same_numbers(interrupted: Started, tmp_path: Path) -> None:
    suite, unbroken = suites.load(interrupted.folder / "suite.json"), tmp_path / PLACE
    draw.make(suite.dataset(), suite.recipe(*PLACE.split("/")), unbroken / "task.h5")
    fit_cell("cwola", unbroken / "task.h5", unbroken / "cwola", suite.settings("cwola"), suite["classifier"], {}, 0)
    assert differences(interrupted.folder, tmp_path) == []
    assert (interrupted.folder / PLACE / "cwola" / "model.pt").exists()


def test_nothing_is_left_of_the_interruption(interrupted: Started) -> None:
    assert not interrupted.living()
    assert not list((interrupted.folder / ".steps").iterdir())
    assert not [path for path in interrupted.folder.rglob("*") if path.suffix in (".tmp", ".part", ".lock")]

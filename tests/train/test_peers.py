"""Peers learn a toy, the race judges as the benchmark does, and Sideband's own fits are the ones of any run."""

import importlib.util
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.metrics.closure import closure
from sideband.benchmarks.peers import PEERS
from sideband.benchmarks.problems.search.evaluate import background
from sideband.infer import events
from sideband.infer.errors import BadInput
from sideband.train import peers, saved, suite, template
from sideband.train.peers import loop, race, step
from tests.train.conftest import FitOf


def load(name: str) -> Any:
    for package in PEERS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; docs/results/peers.md says how")
    if name == "edm_compiled":
        pytest.skip("compiling takes a minute; the network is that of edm")
    return peers.load(name)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_learns_how_a_feature_depends_on_the_mass(name: str) -> None:
    torch.manual_seed(0)
    peer = load(name).build(2)
    optimizer = torch.optim.Adam(peer.model.parameters(), lr=2e-3)
    for _ in range(400):
        mass = 2 * torch.rand(64, 1) - 1
        x = torch.cat([1.6 * mass, -1.6 * mass], 1) + 0.5 * torch.randn(64, 2)
        optimizer.zero_grad()
        peer.loss(x, mass).backward()
        optimizer.step()
    with torch.no_grad():
        for at in (-1.28, 1.28):
            made = peer.sample(torch.full((2000, 1), at / 1.6))
            assert made.shape == (2000, 2)
            assert made.mean(0).tolist() == pytest.approx([at, -at], abs=0.6)
            assert ((made.std(0) > 0.25) & (made.std(0) < 0.8)).all()  # 0.5, and 1.05 of all masses together


def test_torch_compile_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match=r"g\+\+"):
        peers.load("edm_compiled").build(2)


def test_who_is_no_peer_is_refused() -> None:
    with pytest.raises(BadInput, match="'cathodd': no such peer and no method"):
        peers.load("cathodd")


def test_a_clock_stands_still_while_it_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0, 0.0]
    monkeypatch.setattr(race, "_now", lambda: tuple(now))
    clock = race.Clock(budget=50.0)
    now[:] = [4.0, 7.0]
    with clock.paused():
        now[:] = [104.0, 107.0]
    assert clock.read() == (4.0, 7.0)
    assert not clock.due()  # five seconds to the first look
    due = []
    for second in range(105, 160):
        now[0] = second
        due += [second - 100] if clock.due() else []
    assert due == [5, 10, 15, 20, 25, 30, 36, 44, 50]  # from 25 on a fifth more each time, and at the budget


def racing(task: Path, goal: float, budget: float = 10.0) -> race.Race:
    return race.Race(tasks.read(task), goal, budget, 400, print)


def test_a_race_judges_as_the_benchmark_does(small_task: Path) -> None:
    task = tasks.read(small_task)
    truth = background(task)
    assert truth is not None
    data = task.events("data")
    inside, outside = data[task.inside(data)].features, data[~task.inside(data)].features
    running = racing(small_task, 0.6)
    assert not running.over((1.0, 2.0), outside)
    assert running.over((2.0, 4.0), inside)
    assert running.reached
    expected = [closure(truth.features, made, 400).auc for made in (outside, inside)]
    assert [look.closure for look in running.looks] == expected
    late = racing(small_task, 0.6)
    assert late.over((10.5, 20.0), inside)
    assert not late.reached


def test_a_peer_trains_on_the_sidebands_alone_until_the_race_is_over(small_task: Path) -> None:
    task, running = tasks.read(small_task), racing(small_task, 0.5, budget=1.0)
    trained = loop.Trained(peers.load("edm").build(task.width), task)
    data = task.events("data")
    assert len(trained.x) == (~task.inside(data)).sum()
    trained.train(running, Soon())
    assert [look.seconds for look in running.looks] == [0.5, 1.0]
    made = trained(running.masses)
    low, high = data.features.min(0), data.features.max(0)
    assert ((made >= low - 1e-3) & (made <= high + 1e-3)).all()


def test_the_row_of_a_peer(small_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "BATCHES", (10, 500))
    monkeypatch.setattr(step, "SECONDS", 0.01)
    step.measure("edm", small_task, tmp_path, suite.load("smoke"), 0.501, 0.1, 400, 1)
    row = events.read_json(tmp_path / step.FOUND)
    assert not row["reached"]
    assert (row["title"], row["with"]) == ("EDM, torch eager", f"torch {metadata.version('torch')}")
    assert row["closure"] == row["looks"][-1]["closure"] > 0.501
    assert row["seconds"] >= 0.1  # the budget, when a look is due at the latest
    assert row["batch"] in (10, 500)
    assert row["p10"] <= row["events_per_second"] <= row["p90"]


class Soon(race.Clock):
    """A clock that goes on by half a second a step."""

    steps = 0

    def due(self) -> bool:
        self.steps += 1
        return True

    def read(self) -> tuple[float, float]:
        return 0.5 * self.steps, 0.5 * self.steps


def own(small_task: Path, out: Path, goal: float, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(race.Clock, "due", lambda self: True)  # a look at every look of the fit
    step.measure("cathode", small_task, out, suite.load("smoke"), goal, 1000.0, 400, 1)
    return dict(events.read_json(out / step.FOUND))


def test_own_fits_go_back_to_the_look_that_ends_the_race(
    small_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = own(small_task, tmp_path, 0.999, monkeypatch)
    assert found["reached"]
    assert len(found["looks"]) == 1
    truth = background(tasks.read(small_task))
    assert truth is not None
    task = tasks.read(small_task)
    made = template.read(tmp_path / "template_torch.h5", task).events.features[: len(racing(small_task, 0.5).masses)]
    assert closure(truth.features, made, 400).auc == pytest.approx(found["closure"], abs=1e-9)


def test_own_fits_run_to_the_end_of_any_other(
    small_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit_of: FitOf
) -> None:
    found = own(small_task, tmp_path / "race", 0.5, monkeypatch)
    assert not found["reached"]
    assert [look["seconds"] for look in found["looks"]] == sorted(look["seconds"] for look in found["looks"])
    ours = saved.load(tmp_path / "race" / "model.pt").modules["template"].state_dict()
    theirs = saved.load(fit_of("cathode", small_task, tmp_path)).modules["template"].state_dict()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)

"""The signal model of R-ANODE and of its scan, on backgrounds and signals that are known exactly."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sideband.benchmarks.events import tables, task
from sideband.benchmarks.problems.search import draw
from sideband.train import methods
from sideband.train.fit import Training
from sideband.train.methods.search import ranode, ranode_scan
from sideband.train.nets.flow import ConditionalDensity, FlowSettings
from sideband.train.nets.signal import SignalDensity, SignalRatio, SignalSampler
from sideband.train.nets.spline import rational_quadratic_spline
from tests.train.conftest import NewRun
from tests.train.fits import rough

SMALL = FlowSettings(couplings=2, hidden=8, layers=1, bins=4, bound=5.0)
BACKGROUND = 24_000


@pytest.fixture(scope="module")
def background() -> ConditionalDensity:
    """Two standard Gaussians in the flow's own coordinates, whatever the mass."""
    density = ConditionalDensity(2, SMALL)
    density.mass.fit(2.0, 5.0)
    for coupling in density.flow.couplings:
        for parameter in coupling.last.parameters():
            parameter.data.zero_()
    return density.eval().requires_grad_(False)


def toy(background: ConditionalDensity, signal: int, path: Path, seed: int = 3) -> task.Task:
    """A task with a narrow signal on that background, without labels."""
    random = np.random.default_rng(seed)
    mass = np.concatenate([random.uniform(2, 5, BACKGROUND), random.normal(3.5, 0.03, signal)])
    coordinates = random.normal(size=(len(mass), 2))
    coordinates[BACKGROUND:] = random.normal((1.5, -1.5), 0.25, (signal, 2))
    features = background.preprocess.inverse(torch.from_numpy(coordinates.T).float()).T.numpy()
    table = tables.Events(mass.astype(np.float32), np.ascontiguousarray(features), None)
    units = {"m": "TeV", "x": "", "y": ""}
    made = tables.Dataset("m", ("x", "y"), units, table, None, None, "toy", "0" * 64)
    draw.make(made, draw.Recipe((2.0, 5.0), (3.3, 3.7), None, 1), path)
    return task.read(path)


def needed(background: ConditionalDensity) -> dict[str, Any]:
    return {"sideband": SimpleNamespace(settings=None, modules={"density": background})}


def scanned(the_task: task.Task, background: ConditionalDensity, run: Any, **changes: Any) -> methods.Fitted:
    training = Training(
        steps=400, batch=256, learning_rate=1e-2, interval=50, validation=0.2, patience=4, drops=1, ema=0.95
    )
    settings = ranode_scan.Settings(
        FlowSettings(couplings=2, hidden=16, layers=1, bins=6, bound=5.0),
        folds=2,
        members=1,
        points=17,
        training=training,
        **changes,
    )
    return ranode_scan.fit(the_task, settings, needed(background), run)


@pytest.mark.parametrize("in_noise", [False, True])
def test_samples_of_a_signal_have_its_density(background: ConditionalDensity, in_noise: bool) -> None:
    torch.manual_seed(4)
    signal = SignalDensity(background, SMALL, 3, 4, in_noise, constants=1)
    with torch.no_grad():
        for coupling in signal.flow.couplings:
            for parameter in coupling.last.parameters():
                parameter.normal_(0, 0.15)
    signal.mass.normal_(0, 0.7)
    signal.constants.fill_(0.3)
    signal.window.copy_(torch.tensor([3.3, 3.7]))
    signal.keep(torch.tensor([True, False, True]))
    features, mass = signal.sample(torch.randn(40_000, 4))
    assert 3.3 <= mass.min() < mass.max() <= 3.7
    # E_S[p_B / p_S] = 1 at every mass, and E_S[log p_S / p_B] is no less than 0.
    ratio = signal.ratio(features, mass)[:, 0]
    assert torch.exp(-ratio).mean().item() == pytest.approx(1, abs=0.1)
    assert ratio.mean() > 0
    expected = torch.linspace(0, 1, 21)[1:-1]
    order = mass[:, 0].sort().values
    inside = (order[(expected * len(order)).long()] - 3.3) / 0.2 - 1
    kept = signal.mass[[0, 2]].expand(-1, -1, 1, 19)
    uniform, _ = rational_quadratic_spline(inside.expand(2, 1, -1), kept, 1.0, 1e-3)
    torch.testing.assert_close((0.5 + 0.5 * uniform[:, 0]).mean(0), expected, atol=0.01, rtol=0)


def test_each_kept_member_makes_its_share_of_the_events(background: ConditionalDensity) -> None:
    signal = SignalDensity(background, SMALL, 4, 4)
    signal.keep(torch.tensor([False, True, True, False]))
    noise = torch.randn(10_000)
    chosen = (noise >= signal.steps[:, 0]) & (noise < signal.steps[:, 1])
    assert (chosen.sum(0) == 1).all()
    torch.testing.assert_close(chosen.float().mean(1), torch.tensor([0, 0.5, 0.5, 0]), atol=0.02, rtol=0)
    assert SignalSampler(signal).noise_columns == 4


def test_ratio_averages_the_densities_of_the_members_kept() -> None:
    background = ConditionalDensity(2, SMALL)
    background.preprocess.fit(torch.rand(1000, 2))
    background.mass.fit(2.0, 5.0)
    rough(background.flow)
    signal = SignalDensity(background.double(), SMALL, 3, 4).double()
    stacked, score = rough(signal.flow), SignalRatio(signal)
    features, mass = torch.rand(40, 2).double(), 2 + 3 * torch.rand(40, 1).double()
    x, _ = background.preprocess(features.T)
    densities = stacked.log_density(x[None], background.mass(mass.T)[None]).exp()
    floor = background.flow.log_density(x[None], background.mass(mass.T)[None])[0]
    for kept in ([True, True, True], [True, False, True], [False, True, False]):
        signal.keep(torch.tensor(kept))
        expected = densities[torch.tensor(kept)].mean(0).log() - floor
        torch.testing.assert_close(score(features, mass)[:, 0], expected, atol=1e-6, rtol=0)


def test_ratio_is_finite_for_any_event() -> None:
    background = ConditionalDensity(2, SMALL)
    background.preprocess.fit(torch.rand(1000, 2))
    background.mass.fit(2.0, 5.0)
    signal = SignalDensity(background, SMALL, 2, 4)
    signal.keep(torch.tensor([True, False]))
    score = SignalRatio(signal)
    extreme = torch.tensor([[-1e30, 1e30], [0.0, 0.0], [1e6, -1e-30]])
    assert torch.isfinite(score(extreme, torch.tensor([[0.0], [3.5], [1e4]]))).all()


def test_the_interval_of_the_scan_covers_the_truth(
    background: ConditionalDensity, new_run: NewRun, tmp_path: Path
) -> None:
    the_task = toy(background, 150, tmp_path / "task.h5")
    true = 150 / int(the_task.inside(the_task.events("data")).sum())
    numbers = scanned(the_task, background, new_run()).numbers
    found = numbers["interval"]
    assert numbers["found"]
    assert found["gain"] > 20
    assert 0 < found["low"] <= true <= found["high"] < 4 * true
    assert found["low"] <= numbers["signal_fraction"] == found["fraction"] <= found["high"]


@pytest.mark.parametrize("self_closure", [False, True])
def test_the_interval_contains_none_without_signal(
    background: ConditionalDensity, new_run: NewRun, tmp_path: Path, self_closure: bool
) -> None:
    """With self-closure the window's signal is replaced by background, so there is none either."""
    the_task = toy(background, 150 if self_closure else 0, tmp_path / "task.h5")
    numbers = scanned(the_task, background, new_run(), self_closure=self_closure).numbers
    assert not numbers["found"]
    assert numbers["interval"]["low"] == 0


def test_a_fit_without_signal_says_so_after_all_attempts(
    background: ConditionalDensity, new_run: NewRun, tmp_path: Path
) -> None:
    training = Training(steps=60, batch=256, learning_rate=1e-2, interval=20, validation=0.3, patience=3, ema=0.9)
    settings = ranode.Settings(SMALL, members=2, restarts=1, training=training)
    numbers = ranode.fit(toy(background, 0, tmp_path / "task.h5"), settings, needed(background), new_run()).numbers
    assert not numbers["found"]
    assert numbers["attempts"] == 2
    assert len(numbers["gains"]) == 4
    assert numbers["evidence"] <= math.log(20)


def test_a_fixed_fraction_stays_where_it_is(background: ConditionalDensity, new_run: NewRun, tmp_path: Path) -> None:
    training = Training(steps=20, batch=256, learning_rate=1e-2, interval=10, validation=0.3, ema=0.9)
    settings = ranode.Settings(SMALL, members=2, restarts=0, fraction=0.02, training=training)
    fitted = ranode.fit(toy(background, 150, tmp_path / "task.h5"), settings, needed(background), new_run())
    assert fitted.numbers["fractions"] == pytest.approx([0.02, 0.02])


def test_a_multiple_of_the_truth_is_taken_from_the_labels(small_task: Path) -> None:
    the_task = task.read(small_task)
    true = the_task.attributes["signal_in_window"] / the_task.attributes["data_in_window"]
    assert ranode._of_truth(the_task, 2.0) == pytest.approx(2 * true)
    assert ranode._of_truth(the_task, 1e9) == ranode.FRACTIONS[1]

"""What stands on other methods' fits: refined and mixed templates, combined scores, further classifiers."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sideband.benchmarks.events import tables, task
from sideband.benchmarks.problems.search import draw
from sideband.infer.errors import BadInput
from sideband.train import beside, ports, saved
from sideband.train.cell import fit_cell
from sideband.train.classifiers.merge import log_odds, merged, shift
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.classifiers.step import train_classifier
from sideband.train.fit import Training
from sideband.train.methods import Other
from sideband.train.methods.search import mixed, refined, sigma
from tests.train.conftest import FitOf, NewRun

TREES = ClassifierSettings(members=2, iterations=10, bins=31)
MLPS = ClassifierSettings(
    kind="mlp", members=2, hidden=8, layers=2, training=Training(steps=60, batch=256, interval=20, validation=0.3)
)
CLASSIFIER = {"members": 2, "iterations": 5, "bins": 31}


class Shifted(nn.Module):
    """Background whose second feature is normal, where that of the data has the mean 0.4."""

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        return torch.cat([condition + 0.1 * noise[:, :1], noise[:, 1:]], 1)


@pytest.fixture
def toy(tmp_path: Path) -> task.Task:
    random = np.random.default_rng(4)
    mass = random.uniform(2, 5, 30_000)
    features = np.stack([mass + 0.1 * random.normal(size=len(mass)), random.normal(0.4, 1, len(mass))], 1)
    table = tables.Events(mass.astype(np.float32), features.astype(np.float32), None)
    made = tables.Dataset("m", ("x", "y"), {"m": "TeV", "x": "", "y": ""}, table, None, None, "toy", "0" * 64)
    draw.make(made, draw.Recipe((2.0, 5.0), (3.3, 3.7), None, 1), tmp_path / "toy.h5")
    return task.read(tmp_path / "toy.h5")


def test_refined_weights_are_the_known_ratio_of_densities(toy: task.Task, new_run: NewRun, tmp_path: Path) -> None:
    base = SimpleNamespace(method="cathode", modules={"template": Shifted()}, folder=tmp_path)
    settings = refined.Settings(
        of=("cathode",), members=2, hidden=16, training=Training(steps=1000, batch=512, learning_rate=3e-3, ema=0.99)
    )
    fitted = refined.fit(toy, settings, {"cathode": base}, new_run())
    module = fitted.modules["template"].eval()
    assert list(ports.inputs(module, toy)) == ["noise", "condition"]
    noise, condition = torch.randn(4000, 2), torch.full((4000, 1), 3.5)
    with torch.no_grad():
        features, weight = module(noise=noise, condition=condition)
    expected = torch.exp(0.4 * features[:, 1] - 0.08)
    assert (weight[:, 0] - expected).abs().mean() < 0.08
    assert float((weight[:, 0] * features[:, 1]).sum() / weight.sum()) == pytest.approx(0.4, abs=0.08)
    assert abs(float(features[:, 1].mean())) < 0.08
    assert fitted.numbers["slope"] == pytest.approx(1, abs=0.35)


def test_calibration_takes_back_what_networks_only_imagined() -> None:
    random = np.random.default_rng(1)
    odds = random.normal(size=40_000)
    weight = np.ones(len(odds))
    label = (random.random(len(odds)) < 1 / (1 + np.exp(-0.5 * odds))).astype(np.int8)
    slope, offset = refined.calibrated(odds, label, weight)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert offset == pytest.approx(0, abs=0.05)
    nothing = refined.calibrated(-odds, label, weight)
    assert nothing == (0.0, 0.0)


def test_anchors_beside_the_window_stay_in_their_sideband(toy: task.Task, new_run: NewRun, tmp_path: Path) -> None:
    class Anchored(nn.Module):
        drawn = sigma.Interpolated(None, sigma.Settings()).drawn  # type: ignore[arg-type]

        def forward(self, noise: Tensor, condition: Tensor, anchor_low: Tensor, anchor_high: Tensor) -> Tensor:
            assert (anchor_low < condition).all()
            assert (condition < anchor_high).all()
            assert not ((anchor_low < 3.299) & (anchor_high > 3.301)).any()
            torch.testing.assert_close(anchor_high - anchor_low, torch.full_like(condition, 0.6), atol=1e-4, rtol=0)
            return noise

    fit = SimpleNamespace(method="sigma", modules={"template": Anchored()}, folder=tmp_path)
    data, made = beside.samples(fit, toy, 2, new_run())
    assert not toy.inside(data).any()
    assert len(made) == 2 * len(data)
    np.testing.assert_array_equal(np.sort(made.events.mass), np.sort(np.repeat(data.mass, 2)))


def test_interpolated_pairs_are_fitted_again_beside_the_window(
    small_task: Path, fit_of: FitOf, new_run: NewRun, tmp_path: Path
) -> None:
    the_task = task.read(small_task)
    fit = saved.load(fit_of("radot", small_task, tmp_path))
    data, made = beside.samples(fit, the_task, 1, new_run())
    assert not the_task.inside(data).any()
    assert not the_task.inside(made.events).any()
    with pytest.raises(BadInput, match="made of other templates"):
        beside.samples(replace(fit, method="mixed"), the_task, 1, new_run())


@pytest.mark.parametrize("method", ["radot", "cwola"])
def test_beside_a_validation_window_the_signal_region_is_no_sideband(
    method: str, dijets: tables.Dataset, fit_of: FitOf, new_run: NewRun, tmp_path: Path
) -> None:
    """In 2.8-3.2 TeV, the window half a width above would lie at 3.4-3.8 TeV, where nearly all events are left out."""
    few = replace(dijets, data=dijets.data[::20])
    path = tmp_path / "task.h5"
    draw.make(few, draw.Recipe((2.3, 5.0), (2.8, 3.2), injection=0, seed=1, masked=(3.3, 3.7)), path)
    the_task = task.read(path)
    data, made = beside.samples(saved.load(fit_of(method, path, tmp_path)), the_task, 1, new_run())
    for mass in (data.mass, made.events.mass):
        assert mass.min() > 3.899
        assert mass.max() < 4.301
    narrow = replace(the_task, attributes={**the_task.attributes, "mass_range": [2.3, 4.4]})
    with pytest.raises(BadInput, match="no sideband has room"):
        beside.samples(saved.load(fit_of(method, path, tmp_path)), narrow, 1, new_run())


def test_pieces_of_the_sidebands_hold_the_windows_that_anchors_lie_around(toy: task.Task) -> None:
    masked = replace(toy, attributes={**toy.attributes, "window": [2.8, 3.2], "masked": [3.3, 3.7]})
    mass = np.array([2.4, 2.79, 3.25, 3.71, 4.9], np.float32)
    windows = beside._windows(mass, masked, 0.0, np.full(len(mass), 0.5))
    assert (windows[[0, 1], 1] <= 2.8001).all()
    assert (windows[[3, 4], 0] >= 3.6999).all()
    room = beside._with_room(mass, masked, 0.0)
    np.testing.assert_array_equal(room, [True, True, False, True, True])


def test_shares_of_a_mixture_follow_the_weights() -> None:
    random = np.random.default_rng(2)
    weight = random.uniform(0.2, 2, 9000)
    rows = mixed.chosen(weight, 3000, random)
    assert len(rows) == len(set(rows)) == 3000
    chance = 3000 * weight / weight.sum()
    heavy = weight > 1
    assert np.isin(np.flatnonzero(heavy), rows).sum() == pytest.approx(chance[heavy].sum(), abs=5 * np.sqrt(1500))


@pytest.mark.parametrize("settings", [TREES, MLPS])
def test_a_merged_score_is_the_mean_of_calibrated_ones(settings: ClassifierSettings, new_run: NewRun) -> None:
    random = np.random.default_rng(6)
    one, two, three = (random.normal(mean, 1, (3000, 2)).astype(np.float32) for mean in (0.3, 0.0, -0.2))
    fits = [
        train_classifier(name, one, other, None, settings, new_run(name))
        for name, other in (("first", two), ("second", three))
    ]
    shifts = [shift(fits[0], two), shift(fits[1], three)]
    means = []
    for fit, by, template in zip(fits, shifts, (two, three), strict=True):
        f = (1 / (1 + np.exp(-(log_odds(fit, template) + by)))).mean(0)
        assert np.mean(f / (1 - f)) == pytest.approx(1, abs=1e-6)
        means.append((1 / (1 + np.exp(-(log_odds(fit, two) + by)))).mean(0))
    both = (1 / (1 + np.exp(-log_odds(merged(fits, shifts), two)))).mean(0)
    seen = (np.abs(two) < 2).all(1)  # networks clamp what is beyond the events that they saw
    np.testing.assert_allclose(both[seen], np.mean(means, axis=0)[seen], atol=1e-5)


def test_kinds_cannot_be_merged(new_run: NewRun) -> None:
    x = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    fits = [train_classifier(each.kind, x[:200], x[200:], None, each, new_run(each.kind)) for each in (TREES, MLPS)]
    with pytest.raises(BadInput, match="of different kinds"):
        merged(fits, [0.0, 0.0])


def test_another_classifier_takes_over_the_fit(small_task: Path, fit_of: FitOf, tmp_path: Path) -> None:
    base = fit_of("cathode", small_task, tmp_path)
    fit_cell("cathode@few", small_task, tmp_path / "few", {}, CLASSIFIER, {}, base=base)
    one, other = saved.load(base), saved.load(tmp_path / "few" / "model.pt")
    for name, value in one.modules["template"].state_dict().items():
        assert torch.equal(value, other.modules["template"].state_dict()[name])
    assert other.classifier_settings.iterations == 5
    torn = [path.parent / "template_torch.h5" for path in (base, tmp_path / "few" / "model.pt")]
    made = [beside.template.read(path, task.read(small_task)).events for path in torn]
    np.testing.assert_array_equal(made[0].features, made[1].features)
    with pytest.raises(BadInput, match="is a fit of 'cathode'; give one of 'drapes'"):
        fit_cell("drapes@few", small_task, tmp_path / "wrong", {}, CLASSIFIER, {}, base=base)


def test_what_a_refined_fit_stands_on_is_kept_with_it(small_task: Path, fit_of: FitOf, tmp_path: Path) -> None:
    fit: Any = saved.load(fit_of("refined", small_task, tmp_path))
    need = fit.needs["cathode"]
    assert isinstance(need, Other)
    assert set(need.needs) == {"sideband"}

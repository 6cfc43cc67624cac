"""Templates that reweight, pair or encode: what they must do exactly."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from sideband.benchmarks.events import tables
from sideband.benchmarks.events import task as tasks
from sideband.infer.draws import generator
from sideband.infer.errors import GateFailed
from sideband.train import methods, ports, saved, template
from sideband.train.methods.search import lacathode, mixed, radot, salad
from sideband.train.nets.flow import ConditionalDensity, DensitySampler, FlowSettings
from tests.train.conftest import FitOf, NewRun


def test_transport_is_the_cheapest_pairing_there_is(new_run: NewRun) -> None:
    random = np.random.default_rng(0)
    low, high = random.normal(size=(2, 6, 3))
    partners = radot._paired(low, high, 6, new_run())
    cost = cdist(low, high, "sqeuclidean")
    best = min(sum(cost[row, column] for row, column in enumerate(order)) for order in permutations(range(6)))
    assert cost[np.arange(6), partners].sum() == pytest.approx(best)


def test_transport_pairs_batch_by_batch_and_leaves_the_last_incomplete_one_out(new_run: NewRun) -> None:
    random = np.random.default_rng(1)
    low, high = random.normal(size=(2, 25, 2))
    partners = radot._paired(low, high, 10, new_run())
    assert len(partners) == 20
    for start in (0, 10):
        assert sorted(partners[start : start + 10]) == list(range(start, start + 10))


def test_pairs_are_interpolated_along_a_straight_line() -> None:
    low, high = torch.tensor([[1.0, 10.0]]), torch.tensor([[3.0, 0.0]])
    at = [torch.tensor([[mass]]) for mass in (3.2, 3.8)]
    for mass, expected in ((3.2, [1.0, 10.0]), (3.5, [2.0, 5.0]), (3.8, [3.0, 0.0])):
        found = radot.Interpolation()(torch.tensor([[mass]]), low, at[0], high, at[1])
        torch.testing.assert_close(found, torch.tensor([expected]))


def test_radot_takes_each_event_of_a_strip_equally_often(
    fit_of: FitOf, small_task: Path, tmp_path: Path, new_run: NewRun
) -> None:
    the_task = tasks.read(small_task)
    data = the_task.events("data")
    lower = data[(data.mass > 3.1) & (data.mass <= np.float32(3.3))]
    tiled = radot._tiled(lower, 4 * len(lower), 1, "low")
    _, counts = np.unique(tiled.mass.astype(float) + 100 * tiled.features[:, 0], return_counts=True)
    assert (counts % 4 == 0).all()
    folder = fit_of("radot", small_task, tmp_path).parent
    with h5py.File(folder / "source.h5") as file:
        assert {len(file[group]["m_jj"]) for group in ("low", "high")} == {len(file["low/m_j1"])}
        assert file["low/m_jj"][:].max() <= np.float32(3.3) < np.float32(3.7) <= file["high/m_jj"][:].min()
        assert np.isin(file["low/m_j1"][:], lower.features[:, 0]).all()
        traced = data.features[np.argsort(data.rows)[np.searchsorted(np.sort(data.rows), file["low/event_row"][:])]]
        np.testing.assert_array_equal(file["low/m_j1"][:], traced[:, 0])


def test_salad_s_weights_are_the_ratio_of_densities(small_task: Path, new_run: NewRun, tmp_path: Path) -> None:
    """Simulation whose first feature is flat, data where it rises: the weights must rise as the data do."""
    path = tmp_path / "task.h5"
    path.write_bytes(small_task.read_bytes())
    random = np.random.default_rng(3)
    with h5py.File(path, "a") as file:
        for group in ("data", "simulation"):
            size = len(file[group]["m_jj"])
            flat = random.uniform(size=size)
            for name in ("m_j1", "dm_j", "tau21_j1", "tau21_j2", "dr_jj"):
                file[group][name][:] = random.uniform(size=size)
            file[group]["m_j1"][:] = np.sqrt(flat) if group == "data" else flat
            file[group]["m_jj"][:] = random.uniform(2.3, 5.0, size)
    settings = salad.Settings(
        training=salad.Training(batch=256, learning_rate=3e-3, interval=50, validation=0.2, ema=0.99)
    )
    module = salad.fit(tasks.read(path), settings, {}, new_run()).modules["template"]
    events = torch.rand(20_000, 5, generator=torch.Generator().manual_seed(0))
    features, weight = ports.run(module.eval(), {"condition": torch.full((20_000, 1), 3.5), "source": events})
    torch.testing.assert_close(features, events)
    mean = (weight * events).sum(0) / weight.sum()
    torch.testing.assert_close(mean, torch.tensor([2 / 3, 0.5, 0.5, 0.5, 0.5]), atol=0.03, rtol=0)


def test_the_encoder_turns_the_template_back_into_noise() -> None:
    torch.manual_seed(0)
    density = ConditionalDensity(3, FlowSettings(couplings=4, hidden=8))
    for parameter in density.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    density = density.double().eval().requires_grad_(False)
    noise, mass = torch.randn(200, 3, dtype=torch.float64).clamp(-2, 2), torch.rand(200, 1, dtype=torch.float64)
    features = DensitySampler(density)(noise, mass)
    torch.testing.assert_close(lacathode.Encoder(density)(features, mass), noise, atol=1e-6, rtol=0)


class Weighted(torch.nn.Module):
    """A template whose weights are whatever a test asks for."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, noise: torch.Tensor, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return noise, torch.full_like(condition, self.weight)


@pytest.mark.parametrize("weight", [-1.0, 0.0, float("nan")])
def test_weights_that_are_none_fail(weight: float, small_task: Path, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"weights of its template|not finite"):
        template.draw(Weighted(weight), tasks.read(small_task), "toy", torch.device("cpu"), tmp_path)


def test_a_weighted_template_is_written_with_its_weights(small_task: Path, tmp_path: Path) -> None:
    the_task = tasks.read(small_task)
    drawn = template.draw(Weighted(2.0), the_task, "toy", torch.device("cpu"), tmp_path)
    template.write(tmp_path / "template.h5", drawn, the_task)
    with h5py.File(tmp_path / "template.h5") as file:
        assert list(file) == ["dm_j", "dr_jj", "m_j1", "m_jj", "tau21_j1", "tau21_j2", "weight"]
        assert (file["weight"][:] == 2).all()
        noise = generator(the_task.seed, "noise", 0).standard_normal((1000, 5), dtype=np.float32)
        np.testing.assert_array_equal(file["m_j1"][:1000], noise[:, 0])


def test_events_are_traced_to_the_files_of_the_data_set(
    fit_of: FitOf, small_task: Path, dijets: tables.Dataset, tmp_path: Path
) -> None:
    the_task = tasks.read(small_task)
    cwola = fit_of("cwola", small_task, tmp_path).parent
    made = template.read(cwola / methods.TEMPLATE, the_task).events
    known = dijets.data[np.argsort(dijets.data.rows)]
    places = np.searchsorted(known.rows, made.rows)
    np.testing.assert_array_equal(known.rows[places], made.rows)
    np.testing.assert_array_equal(known.features[places], made.features)
    assert {*made.rows} == {*template.read_rows(cwola / methods.ROWS, the_task)["strips"].rows}


@pytest.mark.parametrize("traced", [True, False])
def test_a_mixture_knows_the_sources_of_its_events_if_all_its_parts_do(
    traced: bool, small_task: Path, tmp_path: Path
) -> None:
    the_task = tasks.read(small_task)
    data, needs = the_task.events("data"), {}
    for name, part in (("one", data[:500]), ("other", data[500:1000])):
        (tmp_path / name).mkdir()
        part = part if traced or name == "one" else replace(part, rows=None)
        template.write(tmp_path / name / methods.TEMPLATE, template.Template(part), the_task)
        needs[name] = SimpleNamespace(folder=tmp_path / name)
    mixture = mixed.fit(the_task, mixed.Settings(of=("one", "other")), needs, None).rows["mixed"]
    template.write_rows(tmp_path / methods.ROWS, {"mixed": mixture}, the_task)
    rows = template.read_rows(tmp_path / methods.ROWS, the_task)["mixed"].rows
    assert (rows is not None) == traced
    if traced:
        places = np.argsort(data.rows)[np.searchsorted(data.rows, rows, sorter=np.argsort(data.rows))]
        np.testing.assert_array_equal(data.features[places], mixture.features)


def test_classifiers_of_an_encoded_fit_are_as_wide_as_the_latent(
    fit_of: FitOf, small_task: Path, tmp_path: Path
) -> None:
    fit = saved.load(fit_of("lacathode", small_task, tmp_path))
    assert fit.classifier is not None
    assert {each.features for each in (fit.classifier, *fit.folds)} == {fit.modules["encoder"].latent_width}

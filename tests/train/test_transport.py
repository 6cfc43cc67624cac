"""The transports: CURTAINs, CURTAINsF4F and FETA, on distributions that are known."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from geomloss import SamplesLoss
from torch import Tensor

from sideband.benchmarks.events import tables, task
from sideband.benchmarks.grid import suite
from sideband.benchmarks.problems.search import draw
from sideband.infer.inputs import Rows
from sideband.train.cell import fit_cell
from sideband.train.fit import Batch, Training
from sideband.train.methods.search import curtains, curtainsf4f, feta
from sideband.train.nets.flow import ConditionalDensity, FlowSettings, log_normal
from sideband.train.nets.marginals import Marginals
from sideband.train.nets.transport import MassTransport, ends
from tests.train.conftest import NewRun
from tests.train.fits import plain_marginals, rough

SHAPE = FlowSettings(couplings=2, hidden=16, layers=1, bins=4, bound=5.0)
SLOPE = 0.8  # of the mean of the first toy feature with the scaled mass
SHORT = Training(steps=150, batch=512, learning_rate=2e-2, schedule="cosine", patience=None, ema=0.95)


def transport(features: int = 3) -> MassTransport:
    made = MassTransport(features, SHAPE)
    rough(made.flow, 0.5)
    return made.double()


def bent(marginals: Marginals) -> None:
    """Give marginals splines that differ from mass to mass."""
    random = torch.Generator().manual_seed(2)
    for parameter in marginals.shapes[-1].parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=random).to(parameter.dtype)


def some(features: int, events: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    """Features `[1, d, N]`, and scaled masses `[1, 1, N]` at both ends of their way."""
    random = torch.Generator().manual_seed(3)
    x = torch.randn(1, features, events, dtype=torch.float64, generator=random)
    here, there = (2 * torch.rand(1, 1, events, dtype=torch.float64, generator=random) - 1 for _ in range(2))
    return x, here, there


@pytest.mark.parametrize("features", [1, 3])
def test_the_way_back_undoes_the_way_there(features: int) -> None:
    made, (x, here, there) = transport(features), some(features)
    moved = made.moved(x, here, there)
    assert (moved - x).abs().max() > 0.3
    torch.testing.assert_close(made.moved(moved, there, here), x, atol=1e-6, rtol=0)


def test_nothing_changes_before_training_and_at_no_distance_ever() -> None:
    x, here, there = some(3)
    torch.testing.assert_close(MassTransport(3, SHAPE).double().moved(x, here, there), x, atol=1e-12, rtol=0)
    torch.testing.assert_close(transport().moved(x, here, here), x, atol=1e-12, rtol=0)


@pytest.mark.parametrize("direction", ["latent", "inverse"])
def test_log_determinant_is_that_of_autograd(direction: str) -> None:
    flow, (x, *masses) = transport().flow, some(3, 10)
    ways = ends(*masses)
    go = getattr(flow, direction)
    for event in range(10):
        by = ways[..., event : event + 1]
        one = x[0, :, event]
        jacobian = torch.autograd.functional.jacobian(lambda z, by=by: go(z[None, :, None], by)[0][0, :, 0], one)
        found = go(x[..., event : event + 1], by)[1][0, 0]
        torch.testing.assert_close(found, torch.linalg.slogdet(jacobian)[1], atol=1e-8, rtol=0)


def test_no_source_comes_twice_before_all_have_come() -> None:
    assert set(transport().drawn.values()) == {Rows("data", "sidebands", order="turn")}


def test_sources_at_the_target_mass_pass_unchanged() -> None:
    made = transport()
    made.marginals.quantiles.fit(torch.rand(1000, 3))
    bent(made.marginals)
    made.mass.fit(2.0, 5.0)
    source, mass = 0.1 + 0.8 * torch.rand(40, 3).double(), 2 + 3 * torch.rand(40, 1).double()
    torch.testing.assert_close(made(mass, source, mass), source, atol=1e-6, rtol=0)


def known_log_density(x: Tensor, mass: Tensor, slope: float = SLOPE) -> Tensor:
    """The density of the toy `[1, N]`: standard normal, with a first mean that rises with the scaled mass."""
    return log_normal(x - slope * torch.cat([mass, torch.zeros_like(x[:, 1:])], 1))


def toy_task(path: Path, simulation: float | None = None) -> task.Task:
    """A task of the toy in masses from 2 to 5; its simulation has another slope."""
    random = np.random.default_rng(3)
    units = {"m": "TeV", "x": "", "y": ""}

    def events(slope: float) -> tables.Events:
        mass = random.uniform(2, 5, 12_000)
        features = random.normal(size=(12_000, 2))
        features[:, 0] += slope * (mass - 3.5) / 1.5
        return tables.Events(mass.astype(np.float32), features.astype(np.float32), None)

    data = events(SLOPE)
    simulated = None if simulation is None else events(simulation)
    made = tables.Dataset("m", ("x", "y"), units, data, None, simulated, "toy", "0" * 64)
    draw.make(made, draw.Recipe((2.0, 5.0), (3.3, 3.7), None, 1), path)
    return task.read(path)


@pytest.mark.parametrize("rising", [True, False])
def test_surprise_of_no_change_is_that_of_the_events_at_each_others_masses(rising: bool) -> None:
    random = torch.Generator().manual_seed(5)
    x = torch.randn(200, 2, generator=random).double()
    mass = torch.rand(200, 1, generator=random).double() * 2 - 1
    batch = Batch((x[None], 3.5 + 1.5 * mass[None]), 0, random)
    untrained = MassTransport(2, SHAPE).double()
    untrained.marginals.quantiles.fit(3 * torch.randn(1000, 2, generator=random))
    bent(untrained.marginals)
    features = untrained.marginals.inverse(x, untrained.marginals.shapes(mass)).detach()
    base: Any = known(tables.Events(mass[:, 0].numpy(), 2 * features.numpy(), None)).modules["density"].double()
    untrained.mass = base.mass
    found = curtainsf4f.surprise(untrained, base, batch, rising)[0]
    ends = torch.stack([mass[:100], mass[100:]])
    pairs = torch.stack([x[:100], x[100:]])
    start = ends.argmin(0, keepdim=True) if rising else ends.argmax(0, keepdim=True)
    moved, at = pairs.gather(0, start.expand(-1, -1, 2))[0], ends.gather(0, 1 - start)[0]
    # As a density of normal features at the new mass: that of features there, times the Jacobian of the marginals.
    shape = untrained.marginals.shapes(at)
    there = untrained.marginals.inverse(moved, shape)
    expected = known_log_density(there.T[None], at.T[None])[0] - untrained.marginals(there, shape)[1]
    torch.testing.assert_close(found, -expected.mean(), atol=1e-6, rtol=0)


def known(events: tables.Events, slope: float = SLOPE) -> SimpleNamespace:
    """A shared fit that knows the toy's density, in the preprocessing of some events."""
    density = ConditionalDensity(2, SHAPE)
    density.preprocess.fit(torch.from_numpy(events.features))
    density.mass.fit(2.0, 5.0)

    def log_density(x: Tensor, mass: Tensor) -> Tensor:
        back = density.preprocess.inverse(x[0])
        return known_log_density(back[None], mass, slope) - density.preprocess(back)[1]

    def sample(noise: Tensor, mass: Tensor) -> Tensor:
        return density.preprocess((noise + slope * torch.cat([mass, 0 * noise[:, 1:]], 1))[0])[0][None]

    density.flow.log_density, density.flow.sample = log_density, sample
    return SimpleNamespace(settings=None, modules={"density": density})


@pytest.mark.parametrize("method", [curtains, curtainsf4f])
def test_transported_sidebands_are_the_background_of_the_window(method: Any, new_run: NewRun, tmp_path: Path) -> None:
    made = toy_task(tmp_path / "task.h5")
    data = made.events("data")
    sidebands = data[~made.inside(data)]
    # Marginals that do not know the mass leave all of the way to the flow.
    needs = plain_marginals(made, new_run())
    if method is curtainsf4f:
        needs |= {"sideband": known(sidebands)}
    settings = method.Settings(flow=SHAPE, training=SHORT)
    template = method.fit(made, settings, needs, new_run()).modules["template"]
    source, at = torch.from_numpy(sidebands.features), torch.from_numpy(sidebands.mass)[:, None]
    with torch.no_grad():
        moved = template(torch.full_like(at, 3.5), source, at)
    expected = source - SLOPE * torch.cat([(at - 3.5) / 1.5, 0 * at], 1)
    assert (moved - expected).square().mean() < 0.2 * (source - expected).square().mean()
    torch.testing.assert_close(moved.mean(0), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(moved.std(0), torch.ones(2), atol=0.06, rtol=0)


def test_feta_turns_the_simulation_into_the_background_of_the_window(new_run: NewRun, tmp_path: Path) -> None:
    made = toy_task(tmp_path / "task.h5", simulation=0.0)
    needs = {"base_simulation": known(made.events("simulation"), 0.0)}
    template = feta.fit(made, feta.Settings(SHAPE, SHORT), needs, new_run()).modules["template"]
    random = torch.Generator().manual_seed(1)
    for mass, wanted in ((2.5, -2 / 3), (3.5, 0.0), (4.5, 2 / 3)):
        with torch.no_grad():
            drawn = template(torch.randn(20_000, 2, generator=random), torch.full((20_000, 1), mass))
        torch.testing.assert_close(drawn.mean(0), torch.tensor([SLOPE * wanted, 0.0]), atol=0.08, rtol=0)
        torch.testing.assert_close(drawn.std(0), torch.ones(2), atol=0.08, rtol=0)


def test_the_distance_of_clouds_pulls_nowhere_where_they_agree() -> None:
    """Its gradient is finite and vanishes on average; that of the Sinkhorn divergence draws to the middle."""
    distance = curtains.Divergence(curtains.Settings())
    random = torch.Generator().manual_seed(1)
    pulls, plain = [], []
    for _ in range(30):
        x, mass = torch.randn(256, 5, generator=random), torch.rand(256, 1, generator=random) * 2 - 1
        widened = Widened()
        pulls.append(torch.autograd.grad(distance(widened, x, mass), widened.width)[0])
        one, other = (widened.width * x[:64])[None], x[64:128][None]
        plain.append(torch.autograd.grad(usual(curtains.Settings())(one, other).sum(), widened.width)[0])
    ours, theirs = torch.stack(pulls), torch.stack(plain)
    assert torch.isfinite(ours).all()
    assert abs(ours.mean()) < 4 * ours.std() / 30**0.5
    assert theirs.mean() > 4 * theirs.std() / 30**0.5  # narrower would be better, though the width is right


class Widened(torch.nn.Module):
    """A transport that only widens, by a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.width = torch.nn.Parameter(torch.ones(()))

    def moved(self, x: Tensor, here: Tensor, there: Tensor) -> Tensor:
        return self.width * x


def usual(settings: curtains.Settings) -> SamplesLoss:
    return SamplesLoss("sinkhorn", p=2, blur=settings.blur, scaling=settings.scaling, backend="tensorized")


def test_one_base_of_all_the_data_serves_every_window(dijets: tables.Dataset, tmp_path: Path) -> None:
    few = replace(dijets, data=dijets.data[::20], background=dijets.background[::20], simulation=None)
    smoke = suite.load("smoke")
    places = []
    for window in ((3.3, 3.7), (3.1, 3.5)):
        places.append(tmp_path / f"{window[0]}.h5")
        draw.make(few, draw.Recipe((2.3, 5.0), window, injection=0, seed=1), places[-1])
    fit_cell("base", places[0], tmp_path / "base", smoke.settings("base"), {}, {})
    for place in places:
        out, needs = tmp_path / place.stem, {"base": tmp_path / "base" / "model.pt"}
        needs["marginals"] = tmp_path / f"marginals {place.stem}" / "model.pt"
        fit_cell("marginals", place, needs["marginals"].parent, smoke.settings("marginals"), {}, {})
        fit_cell("curtainsf4f_efficient", place, out, smoke.settings("curtainsf4f"), smoke["classifier"], needs)
        assert (out / "model.pt").exists()

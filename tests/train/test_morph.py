from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from sideband.benchmarks.events import tables, task
from sideband.benchmarks.metrics.closure import closure
from sideband.benchmarks.problems.search import draw
from sideband.infer.inputs import Rows
from sideband.train.distance import energy_distance
from sideband.train.fit import Batch, Training
from sideband.train.methods.search import latransit, transit
from sideband.train.methods.shared import marginals
from sideband.train.methods.shared import morph as shared
from sideband.train.nets.morph import Encoder, Morph, MorphSettings
from sideband.train.nets.preprocessing import Gaussianise
from sideband.train.parts import in_parts
from tests.train.conftest import NewRun
from tests.train.fits import plain_marginals


@pytest.fixture
def arbitrary() -> Morph:
    """A morph with arbitrary weights in float64, fitted to nothing but the ranges of events."""
    torch.manual_seed(3)
    morph = Morph(3, MorphSettings(latent=2, hidden=16, blocks=1)).double()
    morph.marginals.quantiles.fit(torch.randn(4000, 3))
    morph.mass.fit(2.0, 5.0)
    for parameter in morph.parameters():
        parameter.data.normal_(0, 0.3)
    return morph


def sample(events: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(events, 3, generator=random).double(), 2 + 3 * torch.rand(events, 1, generator=random).double()


def test_an_event_that_keeps_its_mass_is_unchanged_whatever_the_weights(arbitrary: Morph) -> None:
    normal, mass = sample(500)
    inside = arbitrary.marginals.quantiles.inverse(normal.T).T
    torch.testing.assert_close(arbitrary(inside, mass, mass), inside, atol=1e-6, rtol=0)
    assert (arbitrary(inside, mass, 7 - mass) - inside).abs().mean() > 0.01


def test_an_untrained_morph_changes_nothing() -> None:
    morph = Morph(3, MorphSettings(latent=2, hidden=16, blocks=1)).double()
    morph.marginals.quantiles.fit(torch.randn(4000, 3))
    normal, mass = sample(500)
    inside = morph.marginals.quantiles.inverse(normal.T).T
    torch.testing.assert_close(morph(inside, mass, 7 - mass), inside, atol=1e-6, rtol=0)


def test_energy_distance_of_shifted_normals() -> None:
    random = torch.Generator().manual_seed(2)
    one, other = torch.randn(2, 3500, 1, generator=random, dtype=torch.float64)
    # E|N(μ, 2)| = 2/√π exp(-μ²/4) + μ erf(μ/2)
    shift = torch.tensor(0.8).double()
    apart = 2 / torch.pi**0.5 * torch.exp(-(shift**2) / 4) + shift * torch.erf(shift / 2)
    expected = 2 * (apart - 2 / torch.pi**0.5)
    assert energy_distance(one + shift, other).item() == pytest.approx(expected.item(), abs=0.02)
    assert energy_distance(one, one).item() == pytest.approx(0, abs=1e-12)
    assert energy_distance(one, other).item() < 1e-2


def toy(path: Path) -> task.Task:
    """One feature that follows the mass, one that does not."""
    random = np.random.default_rng(8)
    mass = random.uniform(2, 5, 12_000)
    own = random.normal(size=(12_000, 2)) * [0.3, 1.0]
    features = np.stack([mass + own[:, 0], own[:, 1]], 1).astype(np.float32)
    table = tables.Events(mass.astype(np.float32), features, None)
    units = {"m": "TeV", "x": "TeV", "y": ""}
    made = tables.Dataset("m", ("x", "y"), units, table, None, None, "toy", "0" * 64)
    draw.make(made, draw.Recipe((2.0, 5.0), (3.3, 3.7), None, 1), path)
    return task.read(path)


SETTINGS = shared.Settings(
    MorphSettings(latent=8, hidden=32, blocks=1),
    critic_hidden=32,
    critic_layers=2,
    generator_steps=50,
    distance_events=500,
    training=Training(600, 1024, 3e-3, "constant", interval=100, patience=None, ema=0.98, momentum=0.5, clip=1.0),
)


def test_rare_masses_are_taken_as_often_as_common_ones() -> None:
    random = torch.Generator().manual_seed(4)
    mass = 2 * torch.rand(40_000, 1, generator=random) ** 3 - 1  # falls steeply
    weight = shared.rarity(mass)
    assert weight.shape == mass.shape
    assert weight.max() <= 100.001 * weight.min()
    for low, high in ((-1.0, -0.5), (0.0, 0.5), (0.5, 1.0)):
        inside = (mass >= low) & (mass < high)
        torch.testing.assert_close(weight[inside].sum() / weight.sum(), torch.tensor(0.25), atol=0.01, rtol=0)
    # What the players are given has them equally often too, as far as a quarter of the events allows.
    game, events = shared.Game(2, SETTINGS), torch.randn(4000, 2, generator=random)
    rows = tuple(each[:4000][None] for each in (events, mass, weight))
    made = game.exchange(Batch(rows, 0, random))
    assert len(made.mass) == 1000
    assert float((mass[:4000] > 0).float().mean()) == pytest.approx(0.21, abs=0.02)
    assert float((made.mass > 0).float().mean()) > 0.4


def test_transit_moves_a_feature_that_follows_the_mass(new_run: NewRun, tmp_path: Path) -> None:
    the_task = toy(tmp_path / "task.h5")
    morph = shared.fit(the_task, SETTINGS, plain_marginals(the_task, new_run()), new_run()).modules["morph"]
    assert isinstance(morph, Morph)
    template = transit.Morphed(morph).eval()
    assert set(template.drawn.values()) == {Rows("data", "sidebands", order="turn")}
    source = torch.tensor([[2.6, 0.5], [2.6, -0.5], [4.4, 0.5]])
    at = torch.tensor([[2.6], [2.6], [4.4]])
    with torch.no_grad():
        stayed = template(at, source, at)
        moved = template(torch.full((3, 1), 3.5), source, at)
    torch.testing.assert_close(stayed, source, atol=1e-3, rtol=0)
    torch.testing.assert_close(moved[:, 0] - source[:, 0], torch.tensor([0.9, 0.9, -0.9]), atol=0.35, rtol=0)
    assert (moved[:2, 1].diff() < 0).all()  # what tells events of one mass apart is kept


def test_only_a_consistent_encoder_forgets_the_mass(new_run: NewRun, tmp_path: Path) -> None:
    """Closure in the latent space, of window against sidebands; without the consistency loss it must fail."""
    the_task = toy(tmp_path / "task.h5")
    data = the_task.events("data")
    inside = the_task.inside(data)
    found = {}
    for consistency in (1.0, 0.0):
        settings = replace(SETTINGS, consistency=consistency, training=replace(SETTINGS.training, steps=1200))
        run = new_run(str(consistency))
        morph = shared.fit(the_task, settings, plain_marginals(the_task, run), run).modules["morph"]
        assert isinstance(morph, Morph)
        with torch.no_grad():
            encoded = Encoder(morph)(torch.from_numpy(data.features), torch.from_numpy(data.mass[:, None])).numpy()
        found[consistency] = closure(encoded[inside], encoded[~inside], 1500).auc
    assert found[1.0] + 0.15 < found[0.0]


def test_latransit_leaves_sideband_events_as_they_are() -> None:
    template = latransit.build(latransit.Settings(), 2, {"morph": SETTINGS})["template"]
    source, mass = sample(10)
    torch.testing.assert_close(template(mass, source), source)
    assert set(template.drawn.values()) == {Rows("data", "sidebands", order="turn")}


def test_marginals_are_not_measured_at_all_events_at_once(
    new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look up which of 65 quantiles an event lies between takes 2.5 kB of it."""
    seen: list[int] = []
    forward = Gaussianise.forward

    def watched(module: Gaussianise, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(features.shape[1])
        return forward(module, features)

    monkeypatch.setattr(marginals, "in_parts", partial(in_parts, rows=1000))
    monkeypatch.setattr(Gaussianise, "forward", watched)
    plain_marginals(toy(tmp_path / "task.h5"), new_run())
    assert sum(seen) > 1000 >= max(seen)

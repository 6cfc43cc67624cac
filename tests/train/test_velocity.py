"""Flow matching and diffusion: solvers, divergence, likelihood, interpolation, in float64."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from sideband.benchmarks.events import tables, task
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.problems.search import draw
from sideband.benchmarks.tracking.journal import Record
from sideband.infer.errors import BadInput
from sideband.train.likelihood import normalised
from sideband.train.methods.search import sigma
from sideband.train.methods.shared import diffusion, marginals
from sideband.train.nets.diffusion import LEAST, MOST, Denoiser, ladder
from sideband.train.nets.solver import solve
from sideband.train.nets.velocity import FlowMatching, GatedNet, Mixture, NetSettings
from sideband.train.run import Run
from tests.train.fits import plain_marginals


@pytest.fixture
def flow() -> FlowMatching:
    """A flow of two features with a random velocity, and preprocessing fitted to a uniform square."""
    torch.manual_seed(3)
    made = FlowMatching(2, NetSettings(hidden=16, blocks=2), 3, 2).double()
    torch.manual_seed(3)
    made.marginals.quantiles.fit(torch.rand(5000, 2).double())
    made.mass.fit(2.0, 5.0)
    for part, spread in ((made.net, 0.3), (made.marginals, 0.1)):
        for parameter in part.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, spread)
    return made.requires_grad_(False)


def one(flow: FlowMatching, mass: Tensor) -> Mixture:
    return flow.between([mass])


def test_the_solver_takes_every_row_of_the_grid() -> None:
    total = solve(lambda state, row: state * row[0] + row[1], torch.ones(3), torch.tensor([[2.0, 1.0], [3.0, 5.0]]))
    torch.testing.assert_close(total, torch.full((3,), 14.0))


def test_the_divergence_is_that_of_autograd(flow: FlowMatching) -> None:
    x, mixture = torch.randn(4, 2).double(), one(flow, torch.tensor([[3.5]]).double())
    time = flow.when(torch.tensor([[0.3]]).double())
    value, divergence = flow.net.with_divergence(x, time, mixture)
    torch.testing.assert_close(value, flow.net(x, time, mixture))
    for event, found in zip(x, divergence, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda y: flow.net(y[None], time, mixture)[0], event)
        torch.testing.assert_close(found, torch.trace(jacobian))


def test_the_midpoint_rule_converges_to_an_adaptive_solver_in_second_order(flow: FlowMatching) -> None:
    mass, noise = torch.tensor([[3.1]]).double(), torch.randn(1, 2).double()
    mixture = one(flow, mass)

    def velocity(time: float, x: np.ndarray) -> np.ndarray:
        when = flow.when(torch.tensor([[time]]).double())
        return flow.net(torch.from_numpy(x)[None], when, mixture)[0].numpy()

    exact = solve_ivp(velocity, (0, 1), noise[0].numpy(), rtol=1e-10, atol=1e-12).y[:, -1]
    expected = flow.marginals.inverse(torch.from_numpy(exact)[None], mixture.shapes[0])[0]
    errors = [float((flow.sample(noise, mixture, steps)[0] - expected).abs().max()) for steps in (16, 32, 64)]
    assert errors[0] < 2e-3
    assert errors[1] < 0.4 * errors[0]
    assert errors[2] < 0.4 * errors[1]


def test_the_likelihood_is_normalised_and_matches_its_samples(flow: FlowMatching) -> None:
    """The density of two features, integrated over both ranges."""
    low, high = torch.tensor(flow.marginals.quantiles.logit.ranges()).T.double()
    side = 160
    middle = (torch.arange(side).double() + 0.5) / side
    points = torch.cartesian_prod(middle, middle) * (high - low) + low
    density = flow.log_density(points, torch.full((side**2, 1), 3.5).double(), 24).exp()
    assert float(density.mean() * (high - low).prod()) == pytest.approx(1, abs=0.03)
    made = flow.sample(torch.randn(20_000, 2).double(), one(flow, torch.full((20_000, 1), 3.5).double()), 24)
    entropy = -flow.log_density(made, torch.full((20_000, 1), 3.5).double(), 24).mean()
    integral = -(density * density.log()).mean() * (high - low).prod()
    assert float(entropy) == pytest.approx(float(integral), abs=0.03)


def test_a_net_without_velocity_has_the_density_of_its_noise(flow: FlowMatching) -> None:
    nn.init.zeros_(flow.net.last.weight)
    nn.init.zeros_(flow.net.last.bias)
    features = torch.rand(50, 2).double()
    mass = torch.full((50, 1), 3.0).double()
    x, log_determinant = flow.marginals(features, *flow.between([mass]).shapes)
    expected = log_determinant - 0.5 * (x * x).sum(1) - math.log(2 * math.pi)
    torch.testing.assert_close(flow.log_density(features, mass, 5), expected)


def test_marginals_invert_and_their_determinant_is_that_of_autograd(flow: FlowMatching) -> None:
    features = 0.05 + 0.9 * torch.rand(40, 2).double()
    (shape,) = flow.between([torch.linspace(2, 5, 40).double()[:, None]]).shapes
    x, log_determinant = flow.marginals(features, shape)
    torch.testing.assert_close(flow.marginals.inverse(x, shape), features)
    assert not torch.allclose(x, flow.marginals.quantiles(features.T)[0].T, atol=0.05)
    for row in range(3):
        event, own = features[row : row + 1], shape[row : row + 1]
        jacobian = torch.autograd.functional.jacobian(lambda y, own=own: flow.marginals(y, own)[0], event)[0, :, 0]
        torch.testing.assert_close(log_determinant[row], torch.linalg.slogdet(jacobian).logabsdet)


def test_fitted_marginals_are_normal_at_every_mass(tmp_path: Path) -> None:
    """For an edge that moves with the mass, as in ΔR; without the splines the feature is far from normal there."""
    random = np.random.default_rng(1)
    mass = random.uniform(2, 5, 20_000).astype(np.float32)
    table = Events(mass, (random.uniform(0, 1, 20_000) ** 0.5 * mass)[:, None].astype(np.float32))
    run = Run("test", 1, torch.device("cpu"), tmp_path / "checkpoints", Record(tmp_path, {}))
    made = tables.Dataset("m", ("x",), {"m": "TeV", "x": "TeV"}, table, None, None, "toy", "0" * 64)
    draw.make(made, draw.Recipe((2.0, 5.0), (3.3, 3.7), None, 1), tmp_path / "task.h5")
    the_task = task.read(tmp_path / "task.h5")

    def normal(needs: dict[str, Any]) -> Tensor:
        x, at = normalised(FlowMatching(1, NetSettings(4, 1), 1, 0), needs, table, (2.0, 5.0), run)
        assert torch.equal(at[:, 0], torch.from_numpy(mass))
        return x

    settings = marginals.Settings(sidebands=False)
    fitted = marginals.fit(the_task, settings, {}, run).modules
    x = normal({"marginals_all": SimpleNamespace(settings=settings, modules=fitted)})
    plain = normal(plain_marginals(the_task, run))
    for low in (2.0, 3.0, 4.5):
        near = (mass > low) & (mass < low + 0.4)
        assert float(x[near].mean()) == pytest.approx(0, abs=0.08)
        assert float(x[near].std()) == pytest.approx(1, abs=0.08)
    assert abs(float(plain[mass > 4.5].mean())) > 0.4


@pytest.mark.parametrize("inside", [True, False])
def test_interpolation_at_an_anchor_is_the_model_itself(flow: FlowMatching, inside: bool) -> None:
    noise, mass = torch.randn(20, 2).double(), torch.full((20, 1), 3.5).double()
    template = sigma.Interpolated(flow, sigma.Settings("context" if inside else "linear", steps=6))
    torch.testing.assert_close(template(noise, mass, mass - 1e-9, mass + 1e-9), sigma.Direct(flow, 6)(noise, mass))
    low, high = mass - 0.3, mass + 0.3
    torch.testing.assert_close(template(noise, low, low, high), sigma.Direct(flow, 6)(noise, low))
    torch.testing.assert_close(template(noise, high, low, high), sigma.Direct(flow, 6)(noise, high))


def test_linear_interpolation_is_that_of_the_velocities(flow: FlowMatching) -> None:
    x, time = torch.randn(5, 2).double(), flow.when(torch.tensor([[0.6]]).double())
    contexts = [flow.at(torch.tensor([[mass]]).double()) for mass in (3.2, 3.8)]
    weights = [torch.tensor([[0.25]]).double(), torch.tensor([[0.75]]).double()]
    mixed = flow.net(x, time, Mixture(contexts, weights, inside=False))
    low, high = (flow.net(x, time, Mixture([context], [])) for context in contexts)
    torch.testing.assert_close(mixed, 0.25 * low + 0.75 * high)
    assert not torch.allclose(mixed, flow.net(x, time, Mixture(contexts, weights, inside=True)), atol=1e-4)


# Diffusion


def test_noise_and_its_mirror_image_cancel_in_what_is_learnt() -> None:
    settings, random = diffusion.Settings(), torch.Generator().manual_seed(1)
    events = torch.randn(500, 3, generator=random, dtype=torch.float64)
    noisy, level, target = diffusion.noised(events, settings, random)
    assert torch.equal(level[:500], level[500:])
    assert (noisy[:500] - events).abs().mean() > 0.1
    torch.testing.assert_close((noisy[:500] + noisy[500:]) / 2, events)
    # Of the mean output only the event is left, and less of it the lower the level.
    torch.testing.assert_close(
        (target[:500] + target[500:]) / 2, events * (level / (1 + level**2).sqrt())[:500], atol=2e-5, rtol=1e-3
    )
    torch.testing.assert_close(target.std(), torch.tensor(1.0, dtype=torch.float64), atol=0.05, rtol=0)


def test_the_ladder_of_karras_et_al_is_cut_above_the_start() -> None:
    levels = ladder(10)
    assert float(levels[0]) == MOST
    assert float(levels[-1]) == pytest.approx(LEAST)
    roots = levels ** (1 / 7)
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(9))
    short = ladder(10, 2.24)
    assert float(short[0]) == 2.24
    torch.testing.assert_close(short[1:], levels[levels < 2.24])


class Gaussian(Denoiser):
    """The exact denoiser of normal features with a known standard deviation at every mass."""

    def __init__(self, deviation: float) -> None:
        super().__init__(2, NetSettings(hidden=4, blocks=1))
        self.deviation = deviation

    def prediction(self, y: Tensor, level: Tensor, mixture: Mixture) -> Tensor:
        exact = y * self.deviation**2 / (self.deviation**2 + level**2)
        spread = 1 + level * level
        return (exact - y / spread) * torch.sqrt(spread) / level


def test_heun_steps_turn_noise_into_data() -> None:
    denoiser = Gaussian(0.5).double().requires_grad_(False)
    normal = torch.randn(5000, 2).double()
    denoiser.marginals.quantiles.fit(0.5 * normal)
    nn.init.normal_(denoiser.marginals.shapes[-1].weight, 0, 0.3)
    mass = torch.zeros(5000, 1).double()
    shape = denoiser.shape(mass)
    for steps, tolerance in ((20, 2e-2), (80, 2e-3)):
        made = denoiser.sample(MOST * normal, mass, ladder(steps))
        # Along the exact flow, events keep their order: x / sqrt(0.5² + σ²) is constant.
        expected = denoiser.marginals.inverse(MOST * normal * 0.5 / math.sqrt(0.25 + MOST**2), shape)
        assert float((made - expected).abs().mean()) < tolerance
    features = denoiser.marginals.inverse(normal, shape)
    x, _ = denoiser.marginals(features, shape)
    again = denoiser.sample(x, mass, ladder(40, 2 * LEAST))
    torch.testing.assert_close(again, features, atol=0.05, rtol=0)  # little noise moves events little


def test_anchors_beyond_the_data_are_refused() -> None:
    shared = SimpleNamespace(modules={"flow": FlowMatching(2, NetSettings(4, 1), 1, 1)})
    task = SimpleNamespace(window=(3.3, 3.7), mass_range=(2.3, 5.0))
    with pytest.raises(BadInput, match="anchor_margin"):
        sigma.fit(task, sigma.Settings(anchor_margin=4.0), {"matching": shared}, None)


def test_the_network_starts_near_a_linear_map_of_its_input() -> None:
    net = GatedNet(3, 4, 2, NetSettings(32, 3))
    x = torch.randn(10, 3)
    mixture = Mixture([net.mass(torch.zeros(1, 2))], [])
    time = net.time(torch.zeros(1, 4))
    shift = (net.time.bias)[:32]
    plain = net.last(torch.nn.functional.silu(net.first(x) + shift))
    torch.testing.assert_close(net(x, time, mixture), plain, atol=0.05, rtol=0)

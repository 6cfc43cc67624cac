import math

import pytest
import torch
from torch import Tensor

from sideband.train.fit import Training
from sideband.train.likelihood import fit_flow, log_density
from sideband.train.nets.flow import ConditionalDensity, DensityRatio, Flow, FlowSettings, StackedLinear, identity
from sideband.train.nets.spline import rational_quadratic_spline
from tests.train.fits import rough

SMALL = FlowSettings(couplings=3, hidden=16, bins=5, bound=4.0)


def random_parameters(members: int, bins: int, features: int, events: int, spread: float) -> Tensor:
    random = torch.Generator().manual_seed(bins)
    return spread * torch.randn(members, 3 * bins - 1, features, events, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("bins", [1, 4, 8])
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_spline_and_its_inverse_cancel(bins: int, spread: float) -> None:
    parameters = random_parameters(2, bins, 3, 500, spread)
    x = torch.linspace(-6.5, 6.5, 500, dtype=torch.float64).expand(2, 3, -1)
    y, forward = rational_quadratic_spline(x, parameters, 5.0, 1e-3)
    back, inverse = rational_quadratic_spline(y, parameters, 5.0, 1e-3, inverse=True)
    # At the largest spread, slopes range from 1e-3 to 1e3, and the inverse magnifies rounding by as much.
    torch.testing.assert_close(back, x, atol=1e-6, rtol=0)
    torch.testing.assert_close(inverse, -forward, atol=1e-4, rtol=0)


@pytest.mark.parametrize("inverse", [False, True])
def test_spline_derivative_is_that_of_autograd(inverse: bool) -> None:
    parameters = random_parameters(2, 6, 3, 400, 1.0)
    x = (torch.rand(2, 3, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5) * 14
    x.requires_grad_()
    y, log_derivative = rational_quadratic_spline(x, parameters, 5.0, 1e-3, inverse)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_derivative, torch.log(gradient), atol=1e-9, rtol=0)


@pytest.mark.parametrize("inverse", [False, True])
def test_spline_gradient_is_the_limit_of_differences(inverse: bool) -> None:
    random = torch.Generator().manual_seed(1)
    parameters = random_parameters(2, 4, 2, 12, 1.0).requires_grad_()
    x = (torch.rand(2, 2, 12, dtype=torch.float64, generator=random) - 0.5) * 12  # some of it beyond the bounds
    assert torch.autograd.gradcheck(
        lambda x, parameters: rational_quadratic_spline(x, parameters, 5.0, 1e-3, inverse),
        (x.requires_grad_(), parameters),
    )


def test_spline_rises_from_edge_to_edge_and_is_the_identity_beyond() -> None:
    parameters = random_parameters(1, 8, 1, 1, 2.0).expand(-1, -1, -1, 2001)
    x = torch.linspace(-3.0, 3.0, 2001, dtype=torch.float64)[None, None]
    y, _ = rational_quadratic_spline(x, parameters, 3.0, 1e-3)
    assert (y.diff() > 0).all()
    torch.testing.assert_close(y[0, 0, [0, -1]], x[0, 0, [0, -1]], atol=1e-12, rtol=0)
    inside, _ = rational_quadratic_spline(x * (1 - 1e-12), parameters, 3.0, 1e-3)
    torch.testing.assert_close(inside[0, 0, [0, -1]], x[0, 0, [0, -1]], atol=1e-9, rtol=0)
    beyond, log_derivative = rational_quadratic_spline(x + 7, parameters, 3.0, 1e-3)
    assert torch.equal(beyond, x + 7)
    assert not log_derivative.any()


def test_spline_of_zero_parameters_is_the_identity() -> None:
    x = torch.linspace(-6, 6, 100, dtype=torch.float64)[None, None]
    y, log_derivative = rational_quadratic_spline(x, torch.zeros(1, 14, 1, 100, dtype=torch.float64), 5.0, 1e-3)
    torch.testing.assert_close(y, x, atol=1e-12, rtol=0)
    torch.testing.assert_close(log_derivative, torch.zeros_like(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("features", [1, 2, 5])
def test_log_density_is_the_noise_through_the_jacobian_of_sample(features: int) -> None:
    flow = rough(Flow(features, 1, SMALL))
    random = torch.Generator().manual_seed(3)
    noise = torch.randn(features, 20, dtype=torch.float64, generator=random)
    condition = torch.rand(1, 20, dtype=torch.float64, generator=random) * 2 - 1

    def one(z: Tensor, c: Tensor) -> Tensor:
        return flow.sample(z[None, :, None], c[None, :, None])[0, :, 0]

    for z, c in zip(noise.T, condition.T, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda z, c=c: one(z, c), z)
        expected = -0.5 * (z @ z) - features / 2 * math.log(2 * math.pi) - torch.linalg.slogdet(jacobian)[1]
        found = flow.log_density(one(z, c)[None, :, None], c[None, :, None])[0, 0]
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("mass", [-1.0, 0.0, 0.7])
def test_density_integrates_to_one(mass: float) -> None:
    line = rough(Flow(1, 1, SMALL))
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    condition = torch.full((1, 1, len(x)), mass, dtype=torch.float64)
    with torch.no_grad():
        density = line.log_density(x[None, None], condition)[0].exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-5)

    plane = rough(Flow(2, 1, SMALL))
    side = torch.linspace(-9, 9, 361, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side).T
    with torch.no_grad():
        log_p = plane.log_density(grid[None], torch.full((1, 1, grid.shape[1]), mass, dtype=torch.float64))
    assert log_p.exp().sum().item() * (0.05**2) == pytest.approx(1, abs=2e-3)


def test_density_in_physical_units_integrates_to_one() -> None:
    density = ConditionalDensity(1, SMALL)
    random = torch.Generator().manual_seed(1)
    density.preprocess.fit(torch.rand(5000, 1, generator=random) * 300 + 50)
    density.mass.fit(2000, 5000)
    rough(density.flow)
    density.double()
    ((low, high),) = density.preprocess.ranges()
    x = torch.linspace(low, high, 40_001, dtype=torch.float64)
    with torch.no_grad():
        log_p = density.log_density(x[:, None], torch.full((len(x), 1), 3500.0, dtype=torch.float64))
        sampled = density.sample(
            torch.randn(20_000, 1, generator=random).double(), torch.full((20_000, 1), 3500.0, dtype=torch.float64)
        )
    # The integral lacks the little that lies in the clamped margins of the range.
    at_edges = ((sampled <= low * (1 + 1e-9)) | (sampled >= high * (1 - 1e-9))).double().mean().item()
    assert torch.trapezoid(log_p.exp(), x).item() == pytest.approx(1 - at_edges, abs=5e-3)
    assert sampled.min() >= low * (1 - 1e-6)
    assert sampled.max() <= high * (1 + 1e-6)


def test_fitted_density_approaches_the_truth(new_run) -> None:
    random = torch.Generator().manual_seed(5)

    def draw(number: int) -> tuple[Tensor, Tensor]:
        condition = torch.rand(number, 1, generator=random) * 2 - 1
        noise = torch.randn(number, 2, generator=random)
        x = torch.cat([condition + 0.5 * noise[:, :1], 0.8 * noise[:, :1] + 0.6 * noise[:, 1:]], 1)
        return x, condition

    torch.manual_seed(0)
    flow = Flow(2, 1, FlowSettings(couplings=2, hidden=32, bins=6, bound=5.0))
    training = Training(batch=500, learning_rate=1e-2, interval=20, patience=3, ema=0.95)
    fit_flow("toy", flow, *draw(10_000), training, new_run())
    x, condition = draw(20_000)
    # x0 is a Gaussian about the condition; x1 follows x0's noise with width 0.6.
    z0 = (x[:, 0] - condition[:, 0]) / 0.5
    z1 = (x[:, 1] - 0.8 * z0) / 0.6
    truth = -0.5 * (z0**2 + z1**2) - math.log(2 * math.pi * 0.5 * 0.6)
    divergence = (truth - log_density(flow, x, condition)).mean().item()
    assert -0.005 < divergence < 0.03


def test_log_density_does_not_depend_on_the_chunk() -> None:
    flow = rough(Flow(2, 1, SMALL))
    x, condition = torch.randn(101, 2).double(), torch.rand(101, 1).double()
    whole, parts = log_density(flow, x, condition), log_density(flow, x, condition, rows=10)
    torch.testing.assert_close(parts, whole, atol=1e-12, rtol=0)


def alone(stacked: Flow, member: int, features: int) -> Flow:
    single = Flow(features, 1, SMALL).double()
    state = {name: value[member : member + 1] for name, value in stacked.state_dict().items()}
    single.load_state_dict(state)
    return single


def test_members_of_a_stack_equal_single_flows() -> None:
    stacked = rough(Flow(3, 1, SMALL, members=4))
    x, condition = torch.randn(1, 3, 50).double(), torch.rand(1, 1, 50).double()
    together, samples = stacked.log_density(x, condition), stacked.sample(x, condition)
    assert together.std(0).min() > 0
    for member in range(4):
        single = alone(stacked, member, 3)
        torch.testing.assert_close(single.log_density(x, condition)[0], together[member], atol=1e-10, rtol=0)
        torch.testing.assert_close(single.sample(x, condition)[0], samples[member], atol=1e-10, rtol=0)


def test_stacked_linear_equals_the_layers() -> None:
    layer = StackedLinear(3, 4, 2).double()
    x = torch.randn(3, 4, 10).double()
    for member in range(3):
        expected = torch.nn.functional.linear(x[member].T, layer.weight[member], layer.bias[member, :, 0]).T
        torch.testing.assert_close(layer(x)[member], expected)


def test_ratio_is_that_of_both_densities() -> None:
    background, flow = ConditionalDensity(2, SMALL), rough(Flow(2, 1, SMALL))
    background.preprocess.fit(torch.rand(1000, 2))
    background.mass.fit(2.0, 5.0)
    rough(background.flow)
    score = DensityRatio(background.double(), flow).double()
    features, mass = torch.rand(40, 2).double(), 2 + 3 * torch.rand(40, 1).double()
    x, _ = background.preprocess(features.T)
    scaled = background.mass(mass.T)[None]
    noise, jacobian = background.flow.latent(x[None], scaled)
    above, floor = flow.log_density(noise, scaled) + jacobian, background.flow.log_density(x[None], scaled)
    torch.testing.assert_close(score(features, mass)[:, 0], (above - floor)[0], atol=1e-6, rtol=0)
    untrained = DensityRatio(background, identity(Flow(2, 1, SMALL)).double())
    torch.testing.assert_close(untrained(features, mass), torch.zeros(40, 1).double(), atol=1e-12, rtol=0)
    extreme = torch.tensor([[-1e30, 1e30], [0.0, 0.0], [1e6, -1e-30]]).double()
    assert torch.isfinite(score(extreme, torch.tensor([[0.0], [3.5], [1e4]]).double())).all()

import pytest
import torch

from sideband.train.nets.preprocessing import Gaussianise, LogitStandardise, MassScale


@pytest.fixture
def fitted() -> tuple[LogitStandardise, torch.Tensor]:
    """Three features of very different ranges, and the events they were fitted to."""
    random = torch.Generator().manual_seed(2)
    features = torch.rand(4000, 3, generator=random, dtype=torch.float64) ** 2
    features = features * torch.tensor([1e-3, 1.0, 5e3]) + torch.tensor([0.0, -2.0, 40.0])
    module = LogitStandardise(3).double()
    module.fit(features)
    return module, features


def test_round_trip(fitted: tuple[LogitStandardise, torch.Tensor]) -> None:
    module, features = fitted
    x, _ = module(features.T)
    torch.testing.assert_close(module.inverse(x).T, features, rtol=1e-9, atol=1e-12)


def test_zero_mean_and_unit_variance(fitted: tuple[LogitStandardise, torch.Tensor]) -> None:
    module, features = fitted
    x, _ = module(features.T)
    torch.testing.assert_close(x.mean(1), torch.zeros(3).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(x.std(1), torch.ones(3).double(), atol=1e-9, rtol=0)


def test_jacobian_is_that_of_autograd(fitted: tuple[LogitStandardise, torch.Tensor]) -> None:
    module, features = fitted
    for event in features[5:15]:
        jacobian = torch.autograd.functional.jacobian(lambda x: module(x[:, None])[0][:, 0], event)
        _, log_determinant = module(event[:, None])
        torch.testing.assert_close(log_determinant[0], torch.linalg.slogdet(jacobian)[1], atol=1e-9, rtol=0)


def test_events_beyond_the_range_are_clamped_to_its_edge(fitted: tuple[LogitStandardise, torch.Tensor]) -> None:
    module, features = fitted
    low, high = torch.tensor(module.ranges()).T.double()
    torch.testing.assert_close(low, features.amin(0), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(high, features.amax(0), rtol=1e-6, atol=1e-9)
    beyond, _ = module(torch.stack([low - 1e4, high + 1e4], 1))
    edge, _ = module(torch.stack([low, high], 1))
    torch.testing.assert_close(beyond, edge, rtol=1e-5, atol=0)
    back = module.inverse(torch.tensor([[-1e3, 1e3]] * 3).double())
    torch.testing.assert_close(back, torch.stack([low, high], 1), rtol=1e-6, atol=1e-9)


def test_a_constant_feature_stays_finite() -> None:
    module = LogitStandardise(2)
    module.fit(torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    x, log_determinant = module(torch.tensor([[1.5], [5.0]]))
    assert torch.isfinite(x).all()
    assert torch.isfinite(log_determinant).all()
    torch.testing.assert_close(module.inverse(x), torch.tensor([[1.5], [5.0]]))


def test_mass_range_becomes_plus_minus_one() -> None:
    scale = MassScale()
    scale.fit(2300.0, 5000.0)
    torch.testing.assert_close(scale(torch.tensor([2300.0, 3650.0, 5000.0])), torch.tensor([-1.0, 0.0, 1.0]))


# Gaussianise


@pytest.fixture
def normal() -> tuple[Gaussianise, torch.Tensor]:
    """A feature with an edge, one of whole numbers, and one that is already normal."""
    random = torch.Generator().manual_seed(2)
    drawn = torch.randn(20_000, 3, generator=random, dtype=torch.float64)
    features = torch.stack([3.1 + drawn[:, 0].abs() ** 1.5, (30 + 5 * drawn[:, 1]).round(), drawn[:, 2]], 1)
    module = Gaussianise(3).double()
    module.fit(features)
    return module, features


def test_gaussian_marginals_and_their_inverse(normal: tuple[Gaussianise, torch.Tensor]) -> None:
    module, features = normal
    x, _ = module(features.T)
    torch.testing.assert_close(module.inverse(x).T, features, rtol=1e-6, atol=1e-6)
    for values in x[[0, 2]]:
        quantiles = torch.quantile(values, torch.special.ndtr(torch.linspace(-2.5, 2.5, 11).double()))
        torch.testing.assert_close(quantiles, torch.linspace(-2.5, 2.5, 11).double(), atol=0.03, rtol=0)
    assert torch.isfinite(x).all()


def test_gaussian_jacobian_is_that_of_autograd(normal: tuple[Gaussianise, torch.Tensor]) -> None:
    module, features = normal
    for event in features[5:15]:
        jacobian = torch.autograd.functional.jacobian(lambda x: module(x[:, None])[0][:, 0], event)
        _, log_determinant = module(event[:, None])
        torch.testing.assert_close(log_determinant[0], torch.linalg.slogdet(jacobian)[1], atol=1e-9, rtol=0)


def test_gaussian_tails_are_linear_and_stay_in_the_range(normal: tuple[Gaussianise, torch.Tensor]) -> None:
    module, _ = normal
    far = module.inverse(torch.tensor([[-50.0, 50.0]] * 3).double())
    low, high = torch.tensor(module.logit.ranges()).T.double()
    torch.testing.assert_close(far[[0, 2]], torch.stack([low, high], 1)[[0, 2]], rtol=1e-6, atol=1e-6)
    assert ((far >= low[:, None] - 1e-6) & (far <= high[:, None] + 1e-6)).all()
    beyond, _ = module(torch.stack([low - 1e4, high + 1e4], 1))
    assert torch.isfinite(beyond).all()

import math

import pytest
import torch

from sideband.train.nets.autoregressive import AutoregressiveFlow, AutoregressiveSettings, Block

SETTINGS = AutoregressiveSettings(blocks=2, hidden=24, bins=5, bound=6.0, least=1e-3)
ORDERS = [[3, 1, 0, 4, 2], [2, 4, 0, 1, 3]]


def flow(orders: list[list[int]] = ORDERS, conditions: int = 2) -> AutoregressiveFlow:
    torch.manual_seed(3)
    model = AutoregressiveFlow(orders, conditions, SETTINGS).double()
    with torch.no_grad():
        for block in model.blocks:
            block.out.normal_(0, 0.1)
            block.bias.normal_(0, 0.2)
    return model


def test_a_feature_depends_only_on_those_before_it() -> None:
    block = flow().blocks[0]
    assert isinstance(block, Block)
    x, condition = torch.randn(5, dtype=torch.float64), torch.randn(1, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: block(v[:, None], condition)[0][:, 0], x)
    ordered = jacobian[ORDERS[0]][:, ORDERS[0]]
    assert (ordered.triu(1) == 0).all()
    assert (ordered.diagonal() > 0).all()
    assert (ordered.tril(-1)[1:].abs().sum(1) > 0).all()
    torch.testing.assert_close(block(x[:, None], condition)[1][0], torch.linalg.slogdet(jacobian)[1])


def test_every_feature_depends_on_the_conditions() -> None:
    model, x = flow(), torch.zeros(5, 1, dtype=torch.float64)
    condition = torch.zeros(1, 2, dtype=torch.float64)
    for block in model.blocks:
        gradient = torch.autograd.functional.jacobian(lambda c, block=block: block(x, c)[0][:, 0], condition)
        assert (gradient.abs().sum((1, 2)) > 0).all()


def test_sampling_inverts_evaluation() -> None:
    model = flow()
    torch.manual_seed(4)
    x, condition = 2 * torch.randn(5, 40, dtype=torch.float64), torch.randn(40, 2, dtype=torch.float64)
    latent = x
    for block in model.blocks:
        latent, _ = block(latent, condition)
    torch.testing.assert_close(model.sample(latent, condition), x, atol=1e-9, rtol=0)


def test_a_new_flow_is_the_standard_normal() -> None:
    model = AutoregressiveFlow(ORDERS, 1, SETTINGS)
    x = torch.randn(5, 9)
    expected = -0.5 * (x * x).sum(0) - 2.5 * math.log(2 * math.pi)
    torch.testing.assert_close(model.log_density(x, torch.randn(9, 1)), expected)


@pytest.mark.parametrize("condition", [-1.0, 0.7])
def test_the_density_integrates_to_one(condition: float) -> None:
    model = flow([[0, 1], [1, 0]], 1)
    axis = torch.linspace(-9, 9, 601, dtype=torch.float64)
    x = torch.stack([part.ravel() for part in torch.meshgrid(axis, axis, indexing="ij")])
    with torch.no_grad():
        density = model.log_density(x, torch.full((x.shape[1], 1), condition, dtype=torch.float64)).exp()
    total = torch.trapezoid(torch.trapezoid(density.reshape(601, 601), axis), axis)
    assert float(total) == pytest.approx(1, abs=1e-3)

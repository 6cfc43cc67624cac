import math

import numpy as np
import pytest
import torch

from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.train.nets import shower_logits
from sideband.train.nets.autoregressive import AutoregressiveSettings
from sideband.train.nets.shower import ShowerFlow, ShowerSettings
from sideband.train.nets.shower_logits import ALPHA, LogitLayers, empty_term, hit_term, log_logits

SMALL = AutoregressiveSettings(1, 8, bins=4)
LAYERS = torch.tensor([[900.0, 20.0], [7500.0, 900.0], [9.0, 80.0]], dtype=torch.float64)  # MeV, of two showers


def logit(share: torch.Tensor) -> torch.Tensor:
    return torch.logit(ALPHA + (1 - 2 * ALPHA) * share)


def normal(x: torch.Tensor) -> torch.Tensor:
    return (-0.5 * x * x - 0.5 * math.log(2 * math.pi)).sum(0)


def test_a_hit_gains_the_derivative_of_the_logarithm_by_the_logit() -> None:
    log_share = torch.tensor([1e-6, 1e-3, 0.3, 0.999], dtype=torch.float64).log().requires_grad_()
    (slope,) = torch.autograd.grad(logit(log_share.exp()).sum(), log_share)
    torch.testing.assert_close(hit_term(log_share.exp()), -slope.log(), atol=5e-6, rtol=0)


@pytest.mark.parametrize("energy", [10.0, 1000.0, 30_000.0])
def test_an_empty_voxel_gains_the_mean_log_density_of_its_noise(energy: float) -> None:
    """Against the density of logits by the derivative, in the middle of many slices of the keV."""
    noise = ((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000).requires_grad_()
    (slope,) = torch.autograd.grad(logit(noise * shower_logits.NOISE / energy).sum(), noise)
    expected = empty_term(torch.tensor(energy, dtype=torch.float64))
    assert float(-slope.log().mean()) == pytest.approx(float(expected), abs=5e-4)


def test_an_empty_voxel_is_likelier_the_more_energy_its_layer_has() -> None:
    energies = torch.tensor([0.0, 1.0, 1e3, 1e4, 1e5], dtype=torch.float64)
    found = empty_term(energies)
    assert (found.diff() > 0).all()
    assert float(found[0]) == pytest.approx(-1, abs=1e-6)
    torch.testing.assert_close(found[3:].diff(), torch.tensor([math.log(10.0)], dtype=torch.float64), atol=0.05, rtol=0)


def test_layers_gain_what_the_change_of_their_coordinates_gives() -> None:
    """At a fixed total, from ln of the outer layers to the authors' two logits."""
    for layers in LAYERS.T:
        total = layers.sum()

        def logits(outer: torch.Tensor, total: torch.Tensor = total) -> torch.Tensor:
            first, last = outer.exp()
            return logit(torch.stack([first / total, (total - first - last) / (total - first)]))

        jacobian = torch.autograd.functional.jacobian(logits, layers[[0, 2]].log())
        found = shower_logits.layer_terms(layers[:, None])
        assert float(found) == pytest.approx(-float(torch.linalg.slogdet(jacobian)[1]), abs=1e-3)


def test_the_score_in_logits_adds_the_terms_of_hits_and_of_empty_voxels() -> None:
    flow = ShowerFlow(ShowerSettings(SMALL, SMALL)).double().requires_grad_(False)
    showers = torch.zeros(1, VOXELS, dtype=torch.float64)
    showers[0, [3, 300, 301, 500]] = torch.tensor([500.0, 3000.0, 1000.0, 7.0], dtype=torch.float64)
    plain, found = flow.log_parts(showers), log_logits(flow, showers)
    empty = {500.0: 287, 4000.0: 142, 7.0: 71}
    gain = sum(count * float(empty_term(torch.tensor(energy).double())) for energy, count in empty.items())
    # two layers have one hit each, at the end of a logit
    gain += math.log(0.75) + math.log(0.25) + 2 * math.log(ALPHA)
    assert float(found[1] - plain[1]) == pytest.approx(gain, abs=1e-2)
    np.testing.assert_array_equal(found[2], plain[2])


def test_the_first_flow_sees_logits_and_the_released_code_logarithms() -> None:
    """An untrained flow is the identity, so its density is that of normal inputs."""
    flow = LogitLayers(SMALL).double().requires_grad_(False)
    energy = torch.tensor([50.0, 6.0], dtype=torch.float64)
    first, middle, last = LAYERS
    total = LAYERS.sum(0)
    inputs = logit(torch.stack([total / (1000 * energy), first / total, middle / (middle + last)]))
    torch.testing.assert_close(flow.log_density(LAYERS, energy), normal(inputs))
    fed = 2 * (torch.log10(LAYERS + shower_logits.NOISE) - 1)
    torch.testing.assert_close(flow.log_released(LAYERS, energy), normal(fed))


def test_layers_without_energy_have_finite_logits() -> None:
    flow = LogitLayers(SMALL).double().requires_grad_(False)
    layers = torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 9.0], [3.0, 0.0, 0.0]], dtype=torch.float64)
    energy = torch.tensor([0.02, 1.0, 1e-3], dtype=torch.float64)  # the last one deposits more than it has
    for found in (flow.log_density(layers, energy), flow.log_released(layers, energy)):
        assert torch.isfinite(found).all()

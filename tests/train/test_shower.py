import math

import numpy as np
import pytest
import torch

from sideband.benchmarks.simulate.showers.geometry import STARTS, THRESHOLD, VOXELS, layer_energies
from sideband.train.nets import shower
from sideband.train.nets.autoregressive import AutoregressiveSettings
from sideband.train.nets.shower import ShowerFlow, ShowerSettings

SETTINGS = ShowerSettings(
    AutoregressiveSettings(2, 12, bins=4, bound=9.0, least=1e-3), AutoregressiveSettings(2, 16, bins=4, bound=9.0)
)


@pytest.fixture(scope="module")
def flow() -> ShowerFlow:
    torch.manual_seed(1)
    model = ShowerFlow(SETTINGS).double()
    with torch.no_grad():
        for part in (model.layers, model.voxels):
            for block in part.blocks:
                block.out.normal_(0, 0.02)
                block.bias.normal_(0, 0.02)
        model.response.fill_(-1.7)
        model.spread.fill_(0.1)
    return model.eval().requires_grad_(False)


def showers(events: int = 5) -> torch.Tensor:
    """Voxels in MeV, of which a fifth are hit."""
    random = torch.Generator().manual_seed(2)
    energy = torch.exp(torch.randn(events, VOXELS, generator=random, dtype=torch.float64))
    hit = torch.rand(events, VOXELS, generator=random) < 0.2
    return torch.where(hit, energy + THRESHOLD, 0.0)


def test_layers_are_those_of_the_geometry(flow: ShowerFlow) -> None:
    found = flow.deposited(showers().T).T
    np.testing.assert_allclose(found.numpy(), layer_energies(showers().numpy()), rtol=1e-6)


def test_the_density_is_one_in_the_logarithm_of_each_energy(flow: ShowerFlow) -> None:
    """Against autograd, at fixed layer energies: from ln of hit voxels and the noise of empty ones to latents."""
    x = showers(1).T
    layers, hit = flow.deposited(x), x[:, 0] > 0

    def latent(variables: torch.Tensor) -> torch.Tensor:
        voxels, noise = torch.where(hit, variables.exp(), 0.0), torch.where(hit, 0.0, variables)
        z, _ = shower._coded(voxels[:, None], flow.layer_of.T @ layers, noise[:, None])
        for block in flow.voxels.blocks:
            z, _ = block(z, shower._layers(layers))
        return z[:, 0]

    variables = torch.where(hit, x[:, 0].clamp_min(THRESHOLD).log(), 0.3)
    z = latent(variables)
    jacobian = torch.autograd.functional.jacobian(latent, variables)
    blank = int((~hit).sum()) * (shower.BLANK + 0.5 * 0.3**2)
    expected = torch.linalg.slogdet(jacobian)[1] - 0.5 * (z * z).sum() - VOXELS * shower.BLANK + blank
    noise = 0.3 * (~hit).double()[:, None]
    assert float(flow.log_voxels(x, layers, noise)) == pytest.approx(float(expected), abs=1e-6)


def test_units_do_not_matter_where_nothing_is_clamped(flow: ShowerFlow) -> None:
    """The density is in logarithms, so the same shares at twice the energies are as likely under equal conditions."""
    x = showers(3).T
    layers = flow.deposited(x)
    noise = torch.zeros_like(x)
    one, two = (shower._coded(k * x, k * (flow.layer_of.T @ layers), noise) for k in (1.0, 2.0))
    for first, second in zip(one, two, strict=True):
        torch.testing.assert_close(first, second)


def test_sampled_showers_have_their_layers_energies_and_no_voxel_below_half_the_threshold(flow: ShowerFlow) -> None:
    random = torch.Generator().manual_seed(3)
    noise = torch.randn(200, VOXELS + shower.LAYER_INPUTS, generator=random, dtype=torch.float64)
    energy = torch.linspace(1, 100, 200, dtype=torch.float64)
    made = flow.sample(noise, energy)
    assert made.shape == (200, VOXELS)
    assert torch.isfinite(made).all()
    assert (made >= 0).all()
    assert (made.sum(1) <= 1.3 * 1000 * energy * math.exp(-1.7 + 0.5)).all()
    first = made[:, : STARTS[1]]
    torch.testing.assert_close(first.sum(1), flow.deposited(made.T)[0])


def test_sampled_showers_return_to_their_noise(flow: ShowerFlow) -> None:
    """Voxels above the threshold map to the very latents they were sampled from."""
    noise = torch.randn(20, VOXELS, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    layers = torch.tensor([[50.0], [400.0], [3.0]], dtype=torch.float64).expand(-1, 20)
    coded = flow.voxels.sample(noise.T, shower._layers(layers))
    back = coded
    for block in flow.voxels.blocks:
        back, _ = block(back, shower._layers(layers))
    torch.testing.assert_close(back, noise.T, atol=1e-7, rtol=0)
    share = shower._share(coded)
    again, _ = shower._coded(share * 100.0, torch.full_like(share, 100.0), coded)
    seen = coded > shower.FIRST
    torch.testing.assert_close(again[seen], coded[seen], atol=1e-9, rtol=0)


def test_the_incident_energy_is_reconstructed_from_the_deposited_one(flow: ShowerFlow) -> None:
    x = showers(4)
    *_, energy = flow.log_parts(x)
    torch.testing.assert_close(energy, x.sum(1) / 1000 * math.exp(1.7))
    for given, found in zip(flow.log_parts(x, energy), flow.log_parts(x), strict=True):
        torch.testing.assert_close(given, found)


def test_typical_likelihoods_have_mean_0_and_deviation_1(flow: ShowerFlow) -> None:
    many = showers(400) * torch.linspace(0.5, 5, 400, dtype=torch.float64)[:, None]
    flow.fit_typical(many)
    layers, voxels, energy = flow.log_parts(many)
    found = flow.standardised(layers + voxels, energy)
    assert float(found.mean()) == pytest.approx(0, abs=0.1)
    assert float(found.std()) == pytest.approx(1, abs=0.15)


def test_the_threshold_has_no_step() -> None:
    at = torch.tensor([0.0, 0.4, 0.5, 0.75, 1.0, 1.5]) * THRESHOLD
    expected = torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 1.5]) * THRESHOLD
    torch.testing.assert_close(shower._above_threshold(at), expected)

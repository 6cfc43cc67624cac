"""χ → γγ: exact kinematics, decay lengths, and what the showers of both photons leave."""

import numpy as np
import pytest
from scipy.stats import kstest

from sideband.benchmarks.simulate.showers.calorimeter import CALORIMETER
from sideband.benchmarks.simulate.showers.decays import DEPTHS, LIFETIMES, LIGHT, MASSES, Decay, daughters, decays
from sideband.benchmarks.simulate.showers.geometry import END, layer_energies
from sideband.infer.errors import BadInput

COUNT = 20_000
SEEN = 1000 * CALORIMETER.sampling_fraction


@pytest.mark.parametrize("mass", MASSES)
def test_kinematics_are_exact(mass: float) -> None:
    decay = Decay(mass, depth=1.0)
    momenta = daughters(decay, COUNT, np.random.default_rng(1))
    assert momenta.shape == (COUNT, 2, 3)
    energies = np.linalg.norm(momenta, axis=2)
    np.testing.assert_allclose(energies.sum(axis=1), 50, rtol=1e-12)
    np.testing.assert_allclose(momenta.sum(axis=1), np.tile([0, 0, np.sqrt(50**2 - mass**2)], (COUNT, 1)), atol=1e-12)
    apart = np.diff(momenta / energies[..., None], axis=1)[:, 0]
    half_sine = np.linalg.norm(apart, axis=1) / 2  # of half the opening angle, exact where that is small
    np.testing.assert_allclose(2 * np.sqrt(energies.prod(axis=1)) * half_sine, mass, rtol=1e-9)
    opening = 2 * np.arcsin(half_sine)
    least = 2 * np.arcsin(mass / 50)
    assert opening.min() >= least * (1 - 1e-9)
    assert opening.min() == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize("mass", MASSES)
def test_photons_are_isotropic_at_rest(mass: float) -> None:
    decay = Decay(mass, depth=1.0)
    momenta = daughters(decay, COUNT, np.random.default_rng(2))
    energies = np.linalg.norm(momenta, axis=2)
    cosine = (energies[:, 0] - energies[:, 1]) / decay.momentum
    azimuth = np.arctan2(momenta[:, 0, 1], momenta[:, 0, 0])
    assert kstest(cosine, "uniform", (-1, 2)).pvalue > 1e-3
    assert kstest(azimuth, "uniform", (-np.pi, 2 * np.pi)).pvalue > 1e-3


@pytest.mark.parametrize("mass", MASSES)
@pytest.mark.parametrize("lifetime", LIFETIMES)
def test_decay_lengths_are_exponential_up_to_the_calorimeter_s_end(mass: float, lifetime: float) -> None:
    decay = Decay(mass, lifetime=lifetime)
    depths = decay.depths(COUNT, np.random.default_rng(3))
    assert depths.min() >= 0
    assert depths.max() < END
    length = decay.momentum / mass * LIGHT * lifetime

    def below(depth: np.ndarray) -> np.ndarray:
        return np.expm1(-depth / length) / np.expm1(-END / length)

    assert kstest(depths, below).pvalue > 1e-3
    assert (Decay(mass, depth=0.33).depths(3, np.random.default_rng(3)) == 0.33).all()


def test_showers_of_decays_before_and_inside_the_calorimeter() -> None:
    showers = {depth: decays(Decay(0.1, depth=depth, energy=10), 1000, seed=1) for depth in (0.66, 1.24, 1.44)}
    for depth, sample in showers.items():
        assert (sample.energy == 10).all()
        whole = (sample.voxels.sum(axis=1, dtype=float) + sample.lost) / (10 * SEEN)
        assert whole.mean() == pytest.approx(1, abs=4 * 0.11 / np.sqrt(10 * 1000)), depth
        assert whole.std() == pytest.approx(0.11 / np.sqrt(10), rel=0.09)
    front, middle, back = (layer_energies(sample.voxels).mean(axis=0) / (10 * SEEN) for sample in showers.values())
    assert front[0] > 0.12
    assert middle[0] == pytest.approx(0, abs=1e-4)  # nothing flies back
    assert middle[2] > 0.08
    assert back[:2].sum() < 1e-3
    assert back[2] < 0.05
    assert not showers[1.44].voxels.any(axis=1).all()  # both photons went through what is left


def test_heavy_particles_spread_their_photons() -> None:
    """With m/E = 0.1 the photons open by 0.2 at least: 0.67 m on, they are some 67 mm from the middle."""
    heavy, light = (decays(Decay(mass, depth=0.33, energy=10), 1000, seed=1) for mass in (1, 0.001))
    hit = [(one.voxels[:, :288] > 0).sum(axis=1).mean() for one in (heavy, light)]
    assert hit[0] > 1.3 * hit[1]
    middle = [
        one.voxels[:, 288:432].reshape(-1, 12, 12)[:, 5:7, 5:7].sum() / one.voxels.sum() for one in (heavy, light)
    ]
    assert middle[0] < 0.5 * middle[1]
    assert heavy.lost.mean() > 2 * light.lost.mean()


def test_more_decays_begin_with_the_same_ones() -> None:
    some, more = (decays(Decay(0.5, lifetime=0.1, energy=5), count, seed=4) for count in (1000, 1500))
    np.testing.assert_array_equal(some.voxels, more.voxels[:1000])
    assert not np.array_equal(some.voxels[:500], more.voxels[1000:])


def test_names() -> None:
    assert Decay(5, depth=1.04).name == "5 GeV, 1.04 m"
    assert Decay(0.005, lifetime=0.1).name == "0.005 GeV, 0.1 ns"
    names = [Decay(mass, depth=depth).name for mass in MASSES for depth in DEPTHS]
    assert len(set(names)) == 40


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mass": 0, "depth": 1.0}, "decay: mass 0 GeV; must be above 0 and below χ's energy, 50 GeV"),
        ({"mass": 50, "depth": 1.0}, "decay: mass 50 GeV; must be above 0 and below χ's energy, 50 GeV"),
        ({"mass": float("nan"), "depth": 1.0}, "decay: mass nan GeV; must be above 0 and below χ's energy, 50 GeV"),
        ({"mass": 5}, "decay of 5 GeV: give either a depth [m] or a lifetime [ns]"),
        ({"mass": 5, "depth": 1.0, "lifetime": 1.0}, "decay of 5 GeV: give either a depth [m] or a lifetime [ns]"),
        ({"mass": 5, "depth": -0.1}, "decay of 5 GeV: depth -0.1 m; must be from 0 to below 1.48 m"),
        ({"mass": 5, "depth": 1.48}, "decay of 5 GeV: depth 1.48 m; must be from 0 to below 1.48 m"),
        ({"mass": 5, "lifetime": 0.0}, "decay of 5 GeV: lifetime 0 ns; must be above 0"),
    ],
)
def test_impossible_decays_are_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        Decay(**given)
    assert str(refused.value).startswith(said)

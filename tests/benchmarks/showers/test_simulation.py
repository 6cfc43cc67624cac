"""Simulated showers against the formulas they are made of; tolerances are four standard errors and what is said."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammainc

from sideband.benchmarks.simulate.showers import simulation
from sideband.benchmarks.simulate.showers.calorimeter import CALORIMETER
from sideband.benchmarks.simulate.showers.geometry import BOUNDARIES, THRESHOLD, VOXELS, layer_energies
from sideband.benchmarks.simulate.showers.simulation import Showers, photons, profiles, radial, shower
from sideband.benchmarks.simulate.showers.spots import deposit
from sideband.infer.errors import BadInput

Array = NDArray[np.float64]

X0 = 10 * CALORIMETER.radiation_length  # mm
SEEN = 1000 * CALORIMETER.sampling_fraction  # MeV a GeV
STEP_ERROR = 4e-4  # of a mean share, from spots that lie evenly within a step
NOTED = {1: (0.447, 0.21), 10: (0.225, 0.13), 50: (0.124, 0.08), 100: (0.092, 0.065)}  # share of layer 0, its spread


@pytest.fixture(scope="module", params=NOTED)
def sample(request: pytest.FixtureRequest) -> tuple[int, Showers]:
    energy: int = request.param
    return energy, photons(1000, seed=3, low=energy, high=energy)


def expected(energy: float, depths: Array) -> Array:
    """Mean share of a photon's energy before each depth [X0 from where it meets the medium]."""
    random = np.random.default_rng(5)
    top, shape = profiles(random, np.full(50_000, energy))
    starts = 9 / 7 * random.standard_exponential(50_000)
    rate = (shape - 1) / top
    return np.array([gammainc(shape, rate * np.maximum(depth - starts, 0)).mean() for depth in depths])


def one_by_one(start: Array, direction: Array, energy: float = 20.0) -> tuple[Array, Array]:
    """Layer energies `[N, 3]` and lost energy `[N]` as shares of the energy of one photon an event."""
    start, direction = np.broadcast_arrays(np.asarray(start, float), np.asarray(direction, float))
    total = np.full(len(start), energy)
    voxels, lost = shower(np.random.default_rng(1), np.arange(len(start)), start, direction, total, len(start))
    return layer_energies(voxels) / (SEEN * energy), lost / (SEEN * energy)


def test_fluctuations_of_the_profile() -> None:
    energy = np.full(100_000, 50.0)
    mean_t, mean_a = (float(mean[0]) for mean in simulation.mean_logs(energy))
    assert np.exp([mean_t, mean_a]) == pytest.approx([7.39, 4.86], abs=0.005)
    logs = np.log(profiles(np.random.default_rng(0), energy))
    log_y = np.log(50_000 / CALORIMETER.critical_energy)
    spreads = 1 / (-2.5 + 1.25 * log_y), 1 / (-0.82 + 0.79 * log_y)
    np.testing.assert_allclose(logs.mean(axis=1), [mean_t, mean_a], atol=4 * max(spreads) / 300)
    np.testing.assert_allclose(logs.std(axis=1), spreads, rtol=0.01)
    assert np.corrcoef(logs)[0, 1] == pytest.approx(0.784 - 0.023 * log_y, abs=0.01)


def test_radii_at_the_mean_depth() -> None:
    core, tail, share = (float(value[0, 0]) for value in radial(np.array([50.0]), np.ones((1, 1))))
    centimetres = CALORIMETER.moliere_radius
    assert centimetres * core == pytest.approx(0.47, abs=0.005)
    assert centimetres * tail == pytest.approx(2.2, abs=0.05)
    assert share == pytest.approx(0.90, abs=0.005)


def test_layers_share_the_energy_as_noted_and_as_the_profile_says(sample: tuple[int, Showers]) -> None:
    energy, showers = sample
    layers = layer_energies(showers.voxels)
    shares = layers / layers.sum(axis=1, keepdims=True)
    error = shares[:, 0].std() / np.sqrt(len(showers))
    mean, spread = NOTED[energy]
    assert shares[:, 0].mean() == pytest.approx(mean, abs=4 * error)
    assert shares[:, 0].std() == pytest.approx(spread, abs=0.01)
    whole = expected(energy, np.array(BOUNDARIES[1:]) / X0)
    # 0.3 % leave through the sides, most of them from where the shower is wide.
    assert shares[:, 0].mean() == pytest.approx(whole[0] / whole[2], abs=4 * error + STEP_ERROR + 3e-3)
    assert shares[:, 2].mean() == pytest.approx(1 - whole[1] / whole[2], abs=1.5e-3)


def test_response_is_linear_and_its_resolution_is_the_sampling_term(sample: tuple[int, Showers]) -> None:
    energy, showers = sample
    seen = showers.voxels.sum(axis=1, dtype=float)
    whole = (seen + showers.lost) / (SEEN * energy)
    resolution = simulation.SAMPLING_TERM / np.sqrt(energy)
    assert whole.mean() == pytest.approx(1, abs=4 * resolution / np.sqrt(len(showers)))
    assert whole.std() == pytest.approx(resolution, rel=4 / np.sqrt(2 * len(showers)))
    assert 0.99 < seen.sum() / (seen + showers.lost).sum() < 0.998
    assert seen.std() / seen.mean() == pytest.approx(resolution, rel=0.15)  # what leaks adds a little
    held = showers.voxels[showers.voxels > 0]
    assert THRESHOLD <= held.min() < 2 * THRESHOLD


def test_profile_along_the_shower() -> None:
    """Photons that start inside, d before the third layer, leave there what their profile has beyond d."""
    depths = np.array([1.0, 2, 3, 5, 7, 9, 12, 16, 20, 25])
    start = np.zeros((10, 400, 3))
    start[..., 2] = BOUNDARIES[2] - X0 * depths[:, None]
    layers, _ = one_by_one(start.reshape(-1, 3), [0.0, 0, 1])
    before = layers[:, :2].sum(axis=1).reshape(10, 400)
    error = before.std(axis=1) / np.sqrt(400)
    beside = 8e-3  # leaves through the sides, or the front
    difference = expected(20.0, depths) - before.mean(axis=1)
    assert (difference > -4 * error - STEP_ERROR).all()
    assert (difference < 4 * error + STEP_ERROR + beside).all()


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_profile_across_the_shower(share: float) -> None:
    """Of a profile R²/π(r² + R²)², the part below x is 1/2 + x/2√(x² + R²): r = R√(u/(1-u)), any azimuth."""
    number, edges = 200_000, np.arange(-200.0, 240, 40)
    radii = np.array([15.0, 60.0])
    voxels, lost = np.zeros((1, VOXELS)), np.zeros(1)
    steps = [np.full((1, 1), value) for value in (1.0, *radii, share)]
    start, along = np.array([[0.0, 0, 200]]), np.array([[0.0, 0, 1]])
    deposit(
        np.random.default_rng(2), np.zeros(1, int), start, along, 1.0, np.full((1, 1), number), *steps, voxels, lost
    )
    assert voxels.sum() + lost.sum() == pytest.approx(1)
    image = voxels[0, 288:432].reshape(12, 12)
    below = 0.5 + edges[:, None] / np.hypot(edges[:, None], radii) / 2
    both = below @ [share, 1 - share]
    at_sides = 0.5 * (1 - 240 / np.hypot(240, radii)) @ [share, 1 - share]
    for sums in (image.sum(axis=1), image.sum(axis=0)):
        # Lost on the other two sides is not in the sums: 2 at_sides of all, less in each part.
        found = np.cumsum(sums)[:-1] + at_sides
        tolerance = 4 * np.sqrt(2 * both * (1 - both) / number)  # spots differ in energy: hence the 2
        assert (np.abs(found - both) < tolerance + 2 * at_sides).all()


def test_parts_of_a_shower_fluctuate_as_its_whole() -> None:
    """A voxel that gets a share p of a step varies by c² p dE, as if it were a step of its own."""
    events, energy, number = 4000, 1.0, 2 * 100
    random = np.random.default_rng(4)
    gain = energy / 100
    voxels, lost = np.zeros((events, VOXELS)), np.zeros(events)
    table = {name: np.full((events, 1), value) for name, value in (("core", 30.0), ("tail", 30.0), ("share", 1.0))}
    start, along = np.tile([0.0, 0, 200], (events, 1)), np.tile([0.0, 0, 1], (events, 1))
    spots = np.maximum(random.poisson(number, (events, 1)), 1)
    whole = gain * random.standard_gamma(energy / gain, (events, 1))
    deposit(random, np.arange(events), start, along, 1.0, spots, whole, *table.values(), voxels, lost)
    quadrant = voxels[:, 288:432].reshape(-1, 12, 12)[:, :6, :6].sum(axis=(1, 2))
    assert quadrant.mean() == pytest.approx(0.25, rel=0.02)
    assert quadrant.var() == pytest.approx(gain * quadrant.mean(), rel=4 * np.sqrt(2 / events))


def test_more_events_begin_with_the_same_ones() -> None:
    def made(count: int, seed: int = 7, purpose: str = "photons") -> Showers:
        return photons(count, seed, purpose, low=1, high=3)

    some, more = made(1000), made(2000)
    for one, other in ((some, more[:1000]), (made(30), some[:30])):
        for name in ("energy", "voxels", "lost"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert not np.array_equal(more.energy[:1000], more.energy[1000:])
    assert not np.array_equal(made(30, seed=8).energy, some.energy[:30])
    assert not np.array_equal(made(30, purpose="test").energy, some.energy[:30])
    assert (more.energy >= 1).all()
    assert (more.energy <= 3).all()
    assert np.ptp(more.energy) > 1.9
    assert {more.energy.dtype, more.voxels.dtype, more.lost.dtype} == {np.dtype(np.float32)}


def test_an_inclined_photon_goes_its_way() -> None:
    angle, start = 0.3, np.tile([-100.0, 60, 0], (1000, 1))
    along = np.array([np.sin(angle), 0, np.cos(angle)])
    layers, lost = one_by_one(start, along)
    error = layers[:, 0].std() / np.sqrt(1000)
    depth = np.array([BOUNDARIES[1] / np.cos(angle) / X0])
    assert layers[:, 0].mean() == pytest.approx(expected(20.0, depth)[0], abs=4 * error + STEP_ERROR + 3e-3)
    assert lost.mean() < 0.01
    # Also where it starts well before the face, or the energy comes in two halves.
    before, _ = one_by_one(start - 500 * along, along)
    np.testing.assert_allclose(before, layers, atol=1e-12)
    voxels, _ = shower(
        np.random.default_rng(0),
        np.repeat(np.arange(500), 2),
        start,
        np.tile(along, (1000, 1)),
        np.full(1000, 10.0),
        500,
    )
    image = voxels[:, 288:432].sum(axis=0).reshape(12, 12)
    centres = np.arange(-220.0, 240, 40)
    assert image.sum(axis=0) @ centres / image.sum() == pytest.approx(60, abs=2)
    assert -100 < image.sum(axis=1) @ centres / image.sum() < 0
    assert voxels.sum() / 500 == pytest.approx(20 * SEEN, rel=0.01)


def test_a_photon_that_goes_back_from_inside() -> None:
    """From the back to the front, or from 43 mm before the third layer's end: the same way through it."""
    back, _ = one_by_one(np.tile([0.0, 0, 480], (1000, 1)), [0.0, 0, -1])
    ahead, _ = one_by_one(np.tile([0.0, 0, 437], (1000, 1)), [0.0, 0, 1])
    error = np.hypot(back[:, 2].std(), ahead[:, 2].std()) / np.sqrt(1000)
    assert back[:, 2].mean() == pytest.approx(ahead[:, 2].mean(), abs=4 * error)
    assert ahead[:, :2].sum() == 0
    assert back.sum(axis=1).mean() == pytest.approx(1, abs=0.01)


def test_what_misses_is_lost_and_what_goes_away_leaves_nothing() -> None:
    aside, lost = one_by_one(np.tile([1000.0, 0, -100], (100, 1)), [0.0, 0, 1])
    assert aside.sum() < 1e-3 * lost.sum()
    assert lost.mean() == pytest.approx(1, abs=4 * 0.11 / np.sqrt(20 * 100))
    for start, along in (([0.0, 0, -1], [0.0, 0, -1]), ([0.0, 0, -1], [1.0, 0, 0]), ([0.0, 0, 481], [0.0, 0, 1])):
        layers, lost = one_by_one(np.tile(start, (5, 1)), along)
        assert layers.sum() == lost.sum() == 0


@pytest.mark.parametrize("energy", [1e-8, 1e-3, 0.1, 1000.0])
@pytest.mark.parametrize("along", [[0.0, 0, 1], [0.0, 0, -1], [0.0, 1, 0]])
def test_any_energy_and_direction_gives_numbers(energy: float, along: list[float]) -> None:
    layers, lost = one_by_one(np.tile([0.0, 0, 240], (20, 1)), along, energy)
    assert np.isfinite(layers).all()
    assert np.isfinite(lost).all()
    assert (layers >= 0).all()


def test_without_numba_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sideband.benchmarks.simulate.showers.spots")
    monkeypatch.delattr("sideband.benchmarks.simulate.showers.spots")
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(BadInput, match=r"^numba: not installed, .* pip install -c constraints.txt '.\[train\]'$"):
        photons(1, seed=1)


def test_only_simulating_needs_numba() -> None:
    modules = "sideband.benchmarks.simulate.showers.decays, sideband.benchmarks.events.showers"
    code = f"import sys, {modules}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

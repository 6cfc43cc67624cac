"""Are these the events we think they are? Fresh ones against the embedded set, the embedded set against physics."""

from collections.abc import Mapping

import numpy as np
import pytest
from iminuit import Minuit
from iminuit.cost import ExtendedBinnedNLL
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.stats import chi2, ks_2samp

pytest.importorskip("pythia8mc", reason="Pythia is not installed here: pip install '.[generate]'")

from sideband.benchmarks.events.tables import Dataset, Events
from sideband.benchmarks.metrics import closure
from sideband.benchmarks.simulate.dijets import chunk, processes
from sideband.benchmarks.simulate.dijets.source import Source, Veto, hardest_cone
from tests.benchmarks.dijets.conftest import SEED

Array = NDArray[np.float64]


def background(dijets: Dataset) -> Events:
    assert dijets.data.label is not None
    return dijets.data[dijets.data.label == 0]


def embedded_signal(dijets: Dataset) -> Events:
    assert dijets.data.label is not None
    return dijets.data[dijets.data.label == 1]


def assert_alike(fresh: Mapping[str, NDArray[np.float32]], events: Events, names: tuple[str, ...]) -> None:
    for name, values in {"m_jj": events.mass, **dict(zip(names, events.features.T, strict=True))}.items():
        assert ks_2samp(fresh[name], values).pvalue > 1e-4, name


def test_fresh_events_are_like_the_embedded_ones(dijets: Dataset, qcd: chunk.Chunk, signal: chunk.Chunk) -> None:
    assert_alike(qcd.columns, background(dijets), dijets.features)
    assert_alike(signal.columns, embedded_signal(dijets), dijets.features)
    with pytest.raises(AssertionError):
        assert_alike(qcd.columns, embedded_signal(dijets), dijets.features)


def peak(values: NDArray[np.float32], width: float) -> float:
    """Where the most values lie within `width`: the middle of them."""
    ordered = np.sort(values)
    inside = np.searchsorted(ordered, ordered + width, side="right") - np.arange(len(ordered))
    return float(ordered[np.argmax(inside)] + width / 2)


def test_signal_peaks_where_it_was_put(signal: chunk.Chunk) -> None:
    heavy = signal.columns["m_j1"] + signal.columns["dm_j"]
    assert peak(signal.columns["m_jj"], 0.2) == pytest.approx(3.5, rel=0.03)
    assert peak(signal.columns["m_j1"], 0.02) == pytest.approx(0.1, rel=0.15)
    assert peak(heavy, 0.05) == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize(("prongs", "shift"), [(2, 0.0), (3, 1.0)])
def test_other_masses_and_prongs(prongs: int, shift: float) -> None:
    process = processes.signal(mass=4.5, daughters=(0.7, 0.3), width=0.02, prongs=prongs)
    columns = chunk.make(process, SEED, 0, 250).columns
    assert peak(columns["m_jj"], 0.3) == pytest.approx(4.5, rel=0.04)
    assert peak(columns["m_j1"], 0.05) == pytest.approx(0.3, rel=0.12)
    assert peak(columns["m_j1"] + columns["dm_j"], 0.08) == pytest.approx(0.7, rel=0.08)


def test_prongs_show_in_subjettiness(qcd: chunk.Chunk, signal: chunk.Chunk) -> None:
    three = chunk.make(processes.signal(prongs=3), SEED, 0, 250).columns
    for jet in (1, 2):
        tau21 = [float(np.median(found[f"tau21_j{jet}"])) for found in (qcd.columns, signal.columns, three)]
        assert tau21[1] < tau21[0] - 0.15  # two prongs against QCD
        assert tau21[1] < tau21[2] - 0.1  # and against three
    tau32 = [np.median(found["tau32_j2"]) for found in (signal.columns, three)]
    assert tau32[1] < tau32[0] - 0.05


def dijet_function(x: Array, p0: float, p1: float, p2: float, p3: float) -> Array:
    """The four-parameter spectrum of dijet searches (arXiv:1911.03947) at x = m / 13 TeV; p0 is ln f at its start."""
    rise = x / x[0]
    return np.exp(p0) * ((1 - x) / (1 - x[0])) ** p1 * rise ** -(p2 + p3 * np.log(rise))


def fitted_chi2(mass: NDArray[np.float32], edges: Array) -> tuple[float, int]:
    """Goodness of the fit of the dijet function to a binned spectrum: deviance, degrees of freedom."""
    counts, _ = np.histogram(mass, edges)

    def integral(x: Array, p0: float, p1: float, p2: float, p3: float) -> Array:
        fine = np.linspace(x[0], x[-1], 501)
        return np.interp(x, fine, cumulative_trapezoid(dijet_function(fine, p0, p1, p2, p3), fine, initial=0))

    cost = ExtendedBinnedNLL(counts, edges / processes.BEAMS, integral)
    start = np.log(counts[0] / (edges[1] - edges[0]) * processes.BEAMS)
    fit = Minuit(cost, p0=start, p1=10.0, p2=5.0, p3=0.0)
    fit.errors = (0.1, 1.0, 1.0, 0.1)
    fit.limits = ((start - 2, start + 2), (-50, 50), (-20, 20), (-5, 5))
    fit.migrad()
    return float(fit.fval), len(counts) - 4


def test_the_spectrum_falls_smoothly(dijets: Dataset) -> None:
    mass = background(dijets).mass
    edges = np.geomspace(3.0, 8.0, 41)
    counts, _ = np.histogram(mass, edges)
    assert (np.diff(counts / np.diff(edges)) < 0)[:25].all()
    deviance, freedom = fitted_chi2(mass, edges)
    assert chi2.sf(deviance, freedom) > 0.01
    bump = np.concatenate([mass, embedded_signal(dijets).mass[:2500]])
    assert chi2.sf(fitted_chi2(bump, edges)[0], freedom) < 1e-4


def test_the_simulation_differs_as_much_as_it_should(dijets: Dataset) -> None:
    assert dijets.simulation is not None
    found = closure.closure(dijets.simulation.features, background(dijets).features, 25_000)
    assert found.auc == pytest.approx(0.569, abs=0.015)
    source = Source(processes.simulation("alphas"), 1)
    assert source.pythia.settings.parm("TimeShower:alphaSvalue") == 0.118
    assert Source(processes.qcd(), 1).pythia.settings.parm("TimeShower:alphaSvalue") == 0.1365


class Looker(Veto):
    """Takes the look, and lets every event pass."""

    def __init__(self, pt_min: float) -> None:
        super().__init__(pt_min)
        self.dropped: list[bool] = []

    def doVetoPT(self, position: int, event: object) -> bool:  # noqa: N802 (the name is Pythia's)
        if position <= 4:
            self.dropped.append(super().doVetoPT(position, event))
        return False


def test_the_veto_drops_next_to_nothing_that_would_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    import sideband.benchmarks.simulate.dijets.source as module
    from sideband.benchmarks.simulate.dijets import detector, jets

    monkeypatch.setattr(module, "Veto", Looker)
    source = Source(processes.qcd(), 5)
    offsets, ids, p = source.particles(600)
    assert isinstance(source.veto, Looker)
    dropped = np.array(source.veto.dropped)
    number = np.diff(offsets)
    assert len(dropped) == len(number)
    assert 0.3 < dropped.mean() < 0.6  # of all: what it saves
    kept = np.repeat(dropped, number)
    lost = np.cumsum([0, *number[dropped]]), ids[kept], p[:, kept]
    random = np.random.default_rng(0)
    passing, wrong = (len(jets.find(*detector.observe(random, *some), 1200.0)) for some in ((offsets, ids, p), lost))
    assert passing > 150
    assert wrong < 0.03 * passing  # of those that pass: what it costs


def test_the_hardest_cone_by_hand() -> None:
    forward = (0.0, 300.0, 4000.0)
    assert hardest_cone([(400.0, 0.0, 0.0), (350.0, 60.0, 0.0), (-500.0, 0.0, 0.0), forward]) == pytest.approx(
        np.hypot(750, 60)
    )


def test_cross_sections(qcd: chunk.Chunk, signal: chunk.Chunk) -> None:
    """Of what passes the cut: as in 24,000 and 10,000 events, 4.84 pb and 4.90 fb, within this run's errors."""
    for found, expected in ((qcd, 4.84), (signal, 4.897e-3)):
        value, error = found.cross_section
        efficiency = found.selected / found.made
        spread = np.hypot(error / value, np.sqrt((1 - efficiency) / found.selected))
        assert abs(value * efficiency / expected - 1) < 4 * spread
        assert spread < 0.06


def test_a_higher_cut_moves_the_spectrum_up() -> None:
    process = processes.qcd(pt_min=1.8)
    columns = chunk.make(process, SEED, 0, 100, constituents=1).columns
    assert np.maximum(columns["pt_j1"], columns["pt_j2"]).min() > 1.8
    assert np.median(columns["m_jj"]) > 3.8

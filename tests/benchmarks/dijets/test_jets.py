"""Jets of made-up objects whose masses and N-subjettiness are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pythia8mc", reason="Pythia is not installed here: pip install '.[generate]'")

from sideband.benchmarks.events import dijet
from sideband.benchmarks.simulate.dijets import chunk, jets

Objects = list[tuple[float, float, float]]

# Two prongs 0.4 apart: m² = 2 pt² (cosh 0.4 - 1); and one.
PRONGS: Objects = [(800.0, 0.2, 0.0), (800.0, -0.2, 0.0)]
SINGLE: Objects = [(1500.0, 0.1, np.pi - 0.01)]
SOFT: Objects = [(5.0, 3.0, 1.0)]


def find(*events: Objects, pt_min: float = 1200.0) -> jets.Jets:
    starts = np.cumsum([0, *map(len, events)])
    return jets.find(np.array([one for event in events for one in event]), starts, pt_min)


def test_masses_and_prongs_by_hand() -> None:
    found = find([*PRONGS, *SINGLE, *SOFT])
    assert len(found) == 1
    mass = 800 * np.sqrt(2 * (np.cosh(0.4) - 1))
    np.testing.assert_allclose(dijet.mass(found.p), [[mass, 0]], atol=1e-3)
    # About its own axes a jet of two is nothing; about one axis it is 0.2 from it, over R = 1.
    np.testing.assert_allclose(found.tau[:2, 0, 0], [0.2, 0], atol=2e-3)
    np.testing.assert_allclose(found.tau[:, 0, 1], 0, atol=1e-6)
    np.testing.assert_array_equal(jets.number(found.constituents), [[2, 1]])


def test_columns_put_the_lighter_jet_first() -> None:
    table = chunk.columns(find([*PRONGS, *SINGLE]), constituents=3)
    assert table["m_j1"] == pytest.approx(0, abs=1e-5)
    assert table["dm_j"] == pytest.approx(0.8 * np.sqrt(2 * (np.cosh(0.4) - 1)), abs=1e-5)
    assert table["pt_j1"] == pytest.approx(1.5)
    np.testing.assert_array_equal([table["n_j1"], table["n_j2"]], [[1], [2]])
    expected = np.zeros((1, 2, 3, 3))
    expected[0, 0, 0], expected[0, 1, :2] = SINGLE[0], PRONGS
    np.testing.assert_allclose(np.sort(table["constituents"], axis=2), np.sort(expected, axis=2), rtol=1e-6)
    assert (np.diff(table["constituents"][..., 0], axis=-1) <= 0).all()


def test_the_selection(capsys: pytest.CaptureFixture[str]) -> None:
    forward = [(1300.0, 2.6, 0.0), (1290.0, 0.0, np.pi)]
    soft = [(1199.0, 0.0, 0.0), (1199.0, 0.0, np.pi)]
    alone = [(1300.0, 0.0, 0.0), (90.0, 0.0, np.pi)]
    second_forward = [(1300.0, 0.0, 0.0), (1200.0, 3.0, np.pi)]
    good = [(1300.0, 0.0, 0.0), (101.0, 0.0, np.pi)]
    found = find(forward, soft, alone, good, second_forward)
    np.testing.assert_allclose(np.hypot(*found.p[:2])[:, 1], [101, 1200])
    assert len(find(soft, alone)) == 0
    assert all(len(values) == 0 for values in chunk.columns(find(soft), constituents=2).values())


def test_constituents_beyond_the_most_are_left_out() -> None:
    spray: Objects = [(10.0 + i, 0.01 * i, 0.0) for i in range(60)]
    found = find([*spray, *SINGLE], pt_min=100.0)
    table = jets.leading(found.constituents, 4)
    np.testing.assert_allclose(sorted(table[0, :, 0, 0]), [69, 1500])
    heavy = int(np.argmin(table[0, :, 0, 0]))
    np.testing.assert_allclose(table[0, heavy, :, 0], [69, 68, 67, 66])


def momentum(constituents: NDArray[np.float32]) -> NDArray[np.float32]:
    pt, _, phi = np.moveaxis(constituents, -1, 0)
    return np.hypot((pt * np.cos(phi)).sum(-1), (pt * np.sin(phi)).sum(-1))


def test_constituents_make_up_their_jets(signal: chunk.Chunk) -> None:
    columns = signal.columns
    assert columns["constituents"].shape == (400, 2, 128, 3)
    made = momentum(columns["constituents"])
    for jet in (0, 1):
        number = columns[f"n_j{jet + 1}"]
        whole = number <= 128
        assert whole.mean() > 0.9
        np.testing.assert_array_equal((columns["constituents"][:, jet, :, 0] > 0).sum(-1)[whole], number[whole])
        np.testing.assert_allclose(made[whole, jet] / 1000, columns[f"pt_j{jet + 1}"][whole], rtol=1e-4)

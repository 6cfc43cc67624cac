"""The embedded events, and events of one's own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import embed, sources, tables
from sideband.benchmarks.events.own import DIJET_FEATURES
from sideband.benchmarks.events.sources import DIJETS
from sideband.benchmarks.events.tables import Dataset
from sideband.infer import events
from sideband.infer.errors import BadInput
from tests.conftest import OWN


def test_embedded_counts_and_labels(dijets: Dataset) -> None:
    assert (dijets.mass, dijets.features) == ("m_jj", DIJET_FEATURES)
    assert dijets.units["m_jj"] == "TeV"
    assert dijets.data.label is not None
    assert (dijets.data.label == 0).sum() == embed.QCD >= 400_000
    assert (dijets.data.label == 1).sum() == embed.SIGNAL >= 50_000
    assert dijets.background is not None
    low, high = embed.SCANNED
    assert len(dijets.background) >= 200_000
    assert dijets.background.mass.min() > low * (1 - 2.0**-13)  # cut before rounding
    assert dijets.background.mass.max() < high * (1 + 2.0**-13)
    assert dijets.simulation is not None
    assert len(dijets.simulation) == embed.SIMULATION >= 60_000
    assert abs(np.median(dijets.data.mass[dijets.data.label == 1]) - 3.5) < 0.1


def test_embedded_files_are_small_and_say_how_they_were_made() -> None:
    files = [DIJETS / f"{part}.h5" for part in sources.PARTS]
    assert sum(path.stat().st_size for path in files) <= 12 * 10**6
    for path in files:
        with h5py.File(path) as file:
            assert {"what", "made_with", "pythia_settings", "selection", "cut", "precision"} <= set(file.attrs)
            assert {data.compression for data in file.values()} == {"gzip"}
            assert set(np.unique(file["label"])) == {path.stem == "signal"}


def test_no_background_event_is_there_twice(dijets: Dataset) -> None:
    assert dijets.background is not None
    data = dijets.data[dijets.data.label == 0]
    rows = [np.column_stack([table.mass, table.features]) for table in (data, dijets.background)]
    both = np.unique(np.concatenate(rows), axis=0)
    # Rounded mantissas may make a few strangers equal.
    assert len(data) + len(dijets.background) - len(both) < 10


def test_rounding_keeps_twelve_bits() -> None:
    values = np.random.default_rng(0).lognormal(size=10_000).astype(np.float32)
    rounded = embed.rounded(values)
    assert np.abs(rounded / values - 1).max() <= 2.0**-13
    assert not (rounded.view(np.uint32) & np.uint32(2**11 - 1)).any()
    np.testing.assert_array_equal(embed.rounded(rounded), rounded)


def test_embedded_features_can_be_chosen(dijets: Dataset) -> None:
    found = sources.load({"source": "dijets", "features": ["dr_jj", "m_j1"]}, Path())
    assert found.features == ("dr_jj", "m_j1")
    np.testing.assert_array_equal(found.data.features, dijets.data.features[:, [4, 0]])
    assert found.sha256 != dijets.sha256


def test_own_events_without_labels(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    path = toy_events(tmp_path / "own.h5", 300)
    found = sources.load(OWN, tmp_path)
    assert (found.mass, found.features) == ("m_vis", ("width", "n_tracks", "charge"))
    assert found.units == {"m_vis": "GeV", "width": "", "n_tracks": "", "charge": ""}
    assert not found.labelled
    assert found.background is found.simulation is None
    columns = events.read(path, ["m_vis", "n_tracks"])
    np.testing.assert_array_equal(found.data.mass, columns["m_vis"])
    np.testing.assert_array_equal(found.data.features[:, 1], columns["n_tracks"])


def test_own_events_with_a_label_column(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    path = toy_events(tmp_path / "own.h5", 300, 50, label="is_signal")
    found = sources.load(OWN | {"label": "is_signal"}, tmp_path)
    assert found.data.label is not None
    np.testing.assert_array_equal(found.data.label, events.read(path, ["is_signal"])["is_signal"])
    assert found.data.label.sum() == 50
    assert sources.load(OWN | {"label": None}, tmp_path).data.label is None


def test_own_events_with_further_files(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    for seed, (name, number) in enumerate({"own": 300, "more": 200, "mc": 100}.items()):
        toy_events(tmp_path / f"{name}.h5", number, seed=seed)
    toy_events(tmp_path / "w.h5", 0, signal=40)
    found = sources.load(OWN | {"signal": "w.h5", "background": "more.h5", "simulation": "mc.h5"}, tmp_path)
    assert found.data.label is not None
    assert (len(found.data), found.data.label.sum()) == (340, 40)
    assert found.data.label[300:].all()
    assert found.background is not None
    assert found.simulation is not None
    assert (len(found.background), len(found.simulation)) == (200, 100)


def test_a_single_feature_and_an_unnamed_unit_will_do(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    toy_events(tmp_path / "own.h5", 300)
    found = sources.load(OWN | {"mass": {"column": "m_vis"}, "features": ["charge"]}, tmp_path)
    assert found.data.features.shape == (300, 1)
    assert found.units["m_vis"] == "GeV"  # as the file says


def test_identity_is_of_content_not_of_place(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        toy_events(tmp_path / folder / "own.h5", 300)
    one = sources.identity(OWN, tmp_path / "a")
    assert one == sources.identity(OWN, tmp_path / "b")
    assert one != sources.identity(OWN | {"features": ["width"]}, tmp_path / "a")
    toy_events(tmp_path / "b" / "own.h5", 300, seed=1)
    assert one != sources.identity(OWN, tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mass": {"column": "m_jj"}}, "no column 'm_jj'"),
        ({"features": ["width", "tracks"]}, "no column 'tracks'"),
        ({"mass": {"column": "m_vis", "unit": "TeV"}}, "'m_vis' is in GeV, the suite says TeV"),
        ({"features": ["width", "m_vis"]}, "'m_vis' is the mass column, it cannot be a feature too"),
        ({"features": ["width", "is_signal"], "label": "is_signal"}, "'is_signal' is the label column"),
        ({"features": ["width", "width"]}, "a column is named twice"),
        ({"label": "m_vis"}, "a column is named twice"),
        ({"label": "n_tracks", "features": ["width"]}, "holds values other than 0"),
        ({"background": "own.h5"}, "events without labels cannot use true background"),
        ({"data": "absent.h5"}, "absent.h5: no such file"),
        ({"simulation": "absent.h5"}, r"absent.h5: no such file \(the suite's dataset.simulation\)"),
    ],
)
def test_wrong_sections_are_refused(
    tmp_path: Path, toy_events: Callable[..., Path], change: dict[str, Any], message: str
) -> None:
    toy_events(tmp_path / "own.h5", 300, 50, label="is_signal")
    with pytest.raises(BadInput, match=message):
        sources.load(OWN | change, tmp_path)


@pytest.mark.parametrize("column", ["m_vis", "width", "is_signal"])
@pytest.mark.parametrize("shape", [(350, 1), (350, 3)])
def test_columns_of_more_than_one_number_an_event_are_refused(
    tmp_path: Path, toy_events: Callable[..., Path], column: str, shape: tuple[int, ...]
) -> None:
    path = toy_events(tmp_path / "own.h5", 300, 50, label="is_signal")
    with h5py.File(path, "a") as file:
        del file[column]
        file[column] = np.ones(shape)
    with pytest.raises(BadInput, match=f"column '{column}' has shape .* must be \\[events\\], one number per event"):
        sources.load(OWN | {"label": "is_signal"}, tmp_path)


@pytest.mark.parametrize("change", [{"features": ["width", "label"]}, {"mass": {"column": "label"}}])
def test_the_name_of_the_truth_in_tasks_is_no_feature(
    tmp_path: Path, toy_events: Callable[..., Path], change: dict[str, Any]
) -> None:
    toy_events(tmp_path / "own.h5", 300, 50, label="label")
    toy_events(tmp_path / "signal.h5", 0, 50, label="label")
    with pytest.raises(BadInput, match="'label' is the name of the truth, so it cannot be the mass or a feature"):
        sources.load(OWN | {"signal": "signal.h5"} | change, tmp_path)


def test_units_stored_as_bytes_are_texts(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    path = toy_events(tmp_path / "own.h5", 300)
    with h5py.File(path, "a") as file:
        file["m_vis"].attrs["unit"] = np.bytes_(b"GeV")
        file["width"].attrs["unit"] = np.bytes_("µm".encode())
    assert sources.load(OWN, tmp_path).units == {"m_vis": "GeV", "width": "µm", "n_tracks": "", "charge": ""}
    with h5py.File(path, "a") as file:
        file["m_vis"].attrs["unit"] = np.bytes_(b"TeV")
    with pytest.raises(BadInput, match="'m_vis' is in TeV, the suite says GeV"):
        sources.load(OWN, tmp_path)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "own.h5").mkdir() if kind == "folder" else os.mkfifo(tmp_path / "own.h5")
    with pytest.raises(BadInput, match=f"own.h5: is a .*{kind}.*; give a file"):
        sources.load(OWN, tmp_path)


def test_no_events_are_refused(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    toy_events(tmp_path / "own.h5", 0)
    with pytest.raises(BadInput, match="holds no events"):
        sources.load(OWN, tmp_path)


def test_joined_tables_keep_their_labels() -> None:
    one = tables.Events(np.float32([1, 2]), np.float32([[1], [2]]), np.int8([0, 1]))
    two = tables.Events(np.float32([3]), np.float32([[3]]))
    assert tables.join(one, two).label is None
    joined = tables.join(one, one[[1]])
    assert joined.label is not None
    np.testing.assert_array_equal(joined.label, [0, 1, 1])
    np.testing.assert_array_equal(joined.mass, [1, 2, 2])


def test_only_the_lhc_olympics_need_pandas() -> None:
    script = "import sys; from pathlib import Path; from sideband.benchmarks.events import sources; "
    script += "sources.load({'source': 'dijets'}, Path()); assert not {'pandas', 'scipy', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])

"""Scores come home: to the rows of the files that the events came from, in their order, in the format asked for."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.report import scores
from sideband.infer import events
from sideband.infer.errors import BadInput

NUMBERS = (1500, 900)  # events of each file
SUITE: dict[str, Any] = {
    "about": "toy",
    "dataset": {
        "source": "events",
        "data": "run*.parquet",
        "mass": {"column": "m_vis", "unit": "GeV"},
        "features": ["met"],
        "cut": "met > 5",
        "id": ["run", "event"],
    },
    "mass_range": [200, 900],
    "windows": [[420, 480], [600, 650]],
    "seeds": [1],
    "methods": {"cathode": {}, "anode": {}},
    "excess": {"folds": 2},
}


@pytest.fixture(scope="module")
def columns() -> pd.DataFrame:
    """The events of both files, one after the other."""
    rng, total = np.random.default_rng(1), sum(NUMBERS)
    return pd.DataFrame(
        {
            "m_vis": rng.uniform(100, 1000, total).astype(np.float32),
            "met": rng.exponential(50, total),
            "run": np.repeat([7, 8], NUMBERS),
            "event": np.concatenate([2**53 + 1 + rng.permutation(number) for number in NUMBERS]),
        }
    )


def scored(mass: Any) -> Any:
    return np.sin(np.float32(mass))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, columns: pd.DataFrame) -> Path:
    """The folder of a suite whose second window has scores, which are a function of the mass."""
    folder = tmp_path_factory.mktemp("scores")
    for index, part in enumerate((columns[: NUMBERS[0]], columns[NUMBERS[0] :])):
        pq.write_table(pa.table({name: part[name].to_numpy() for name in part}), folder / f"run{index}.parquet")
    (folder / "toy.yaml").write_text(yaml.safe_dump(SUITE))
    suite = suites.load(folder / "toy.yaml")
    cell = folder / "runs" / "toy" / "600-650" / "observed" / "s1" / "cathode"
    cell.mkdir(parents=True)
    suite.save(folder / "runs" / "toy" / "suite.json")
    suite.draw("600-650", "observed", "s1", cell.parent / "task.h5")
    mass = events.read(cell.parent / "task.h5", ["m_vis"], "data")["m_vis"]
    with events.new_file(cell / "scores.h5") as file:
        events.write(file, {"score": scored(mass)})
    return folder / "runs" / "toy"


def table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pandas()
    if path.suffix == ".csv":
        return pd.read_csv(path)
    if path.suffix == ".root":
        with uproot.open(path) as file:
            assert file.classname_of("scores") == "TTree"
            return pd.DataFrame(file["scores"].arrays(library="np"))
    with h5py.File(path) as file:
        return pd.DataFrame({name: data[:] for name, data in file.items()})


@pytest.mark.parametrize("suffix", scores.FORMATS)
def test_scores_come_home(tmp_path: Path, ran: Path, columns: pd.DataFrame, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    number, files = scores.write(ran, "cathode", out, ("600-650", None, None), ["met", "ratio=met / m_vis"])
    found = table(out)
    assert set(found) == {"file", "row", "run", "event", "met", "ratio", "m_vis", "score"}
    assert [path.name for path in files] == ["run0.parquet", "run1.parquet"]
    row = found["row"].to_numpy() + np.array([0, NUMBERS[0]])[found["file"]]
    inside = (columns["met"] > 5) & (columns["m_vis"] > 200) & (columns["m_vis"] < 900)
    np.testing.assert_array_equal(row, np.flatnonzero(inside))
    assert number == len(row)
    for name in ("run", "event"):
        np.testing.assert_array_equal(found[name], columns[name][inside])
    np.testing.assert_allclose(found["ratio"], columns["met"][inside] / columns["m_vis"][inside], rtol=1e-6)
    np.testing.assert_allclose(found["score"], scored(columns["m_vis"][inside]), rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "place", "name", "wanted", "message"),
    [
        ("transit", None, "o.root", (), "method 'transit': not in suite toy; there are: anode, cathode"),
        ("anode", None, "o.root", (), "method 'anode': has no template, so nothing is cross-fitted"),
        ("cathode", None, "o.root", (), r"scores.h5: not made yet; `python -m sideband.benchmarks run` makes it"),
        ("cathode", "1-2", "o.root", (), "window '1-2': not in suite toy; there are: 420-480, 600-650"),
        ("cathode", "600-650", "o.npz", (), r"o.npz: ends in none of .parquet, .root"),
        ("cathode", "600-650", "o.root", ("mett",), r"no column 'mett' .columns there: m_vis, met"),
        ("cathode", "600-650", "o.root", ("met/2",), r"column 'met/2': is no name .* as in NAME=met/2"),
        ("cathode", "600-650", "o.root", ("m_vis",), "column 'm_vis': the file has one of that name anyway"),
    ],
)
def test_what_cannot_be_written_is_told(
    tmp_path: Path, ran: Path, method: str, place: str | None, name: str, wanted: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        scores.write(ran, method, tmp_path / name, (place, None, None), wanted)
    assert not any(tmp_path.iterdir())


def test_files_that_lost_events_since_are_refused(tmp_path: Path, ran: Path, columns: pd.DataFrame) -> None:
    second = ran.parents[1] / "run1.parquet"
    kept = second.read_bytes()
    part = columns[NUMBERS[0] : -300]
    pq.write_table(pa.table({name: part[name].to_numpy() for name in part}), second)
    try:
        with pytest.raises(BadInput, match="the events' files have changed since"):
            scores.write(ran, "cathode", tmp_path / "o.csv", ("600-650", None, None))
    finally:
        second.write_bytes(kept)

"""Searches in events with constituents: a task refers to the rows of its events files instead of copying them."""

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import layout, sources, task
from sideband.benchmarks.problems.search import draw
from sideband.infer import events
from sideband.infer.errors import BadInput

FEATURES = ["x", "constituents"]


def constituents(number: int, most: int, random: np.random.Generator) -> np.ndarray:
    """Constituents of two jets, their number in the first one random."""
    pt = -np.sort(-random.exponential(size=(number, 2, most)))
    pt[:, 0][np.arange(most) >= random.integers(1, most + 1, number)[:, None]] = 0
    angles = random.uniform(-1, 1, (number, 2, most, 2)) * (pt > 0)[..., None]
    return np.concatenate([pt[..., None], angles], axis=-1).astype(np.float32)


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    """The dataset section of 4,000 background events, further background and a signal, with 5 constituents a jet."""
    random = np.random.default_rng(1)
    for name, number in (("data", 4000), ("background", 1000), ("signal", 500)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["m"] = random.uniform(2.5, 4.5, number)
            file["x"] = random.normal(size=number)
            file.create_dataset("constituents", data=constituents(number, 5, random), compression="lzf")
            file["constituents"].attrs["unit"] = "TeV"
    files = {name: f"{name}.h5" for name in ("data", "background", "signal")}
    return {"source": "hdf5", **files, "mass": {"column": "m", "unit": "TeV"}, "features": FEATURES}


def rewrite(path: Path, values: np.ndarray) -> None:
    with h5py.File(path, "a") as file:
        del file["constituents"]
        file["constituents"] = values


def test_every_event_keeps_its_constituents(section: dict[str, Any], tmp_path: Path) -> None:
    dataset = sources.load(section, tmp_path)
    out = tmp_path / "runs" / "task.h5"
    draw.make(dataset, draw.Recipe((2.6, 4.4), (3.3, 3.7), injection=100, seed=1), out)
    origin: dict[float, np.ndarray] = {}
    for name in ("data", "background", "signal"):
        found = events.read(tmp_path / f"{name}.h5", FEATURES)
        origin |= dict(zip(found["x"].tolist(), found["constituents"], strict=True))
    read = task.read(out)
    assert (read.shapes, read.width) == ({"x": (), "constituents": (2, 5, 3)}, 31)
    assert read.units == {"m": "TeV", "x": "", "constituents": "TeV"}
    for group in ("data", "reference", "test"):
        table = read.events(group)
        assert len(table) > 100
        for row in table.features:
            np.testing.assert_array_equal(row[1:], origin[row[0].item()].ravel())
    with h5py.File(out) as file:
        assert file["data/constituents"].shape == file["data/x"].shape


def test_columns_in_another_order_are_found(section: dict[str, Any], tmp_path: Path) -> None:
    first = sources.load({**section, "features": FEATURES[::-1]}, tmp_path)
    draw.make(first, draw.Recipe((2.6, 4.4), (3.3, 3.7), injection=100, seed=1), tmp_path / "task.h5")
    table = task.read(tmp_path / "task.h5").events("data")
    assert table.features.shape[1] == 31
    assert set(table.features[:, 30]) <= set(np.concatenate([first.data.features[:, 0]]).tolist())


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("data", np.zeros((4000, 2, 5)), r"data.h5: column 'constituents': shape \(4000, 2, 5\); must be"),
        ("data", np.ones((4000, 2, 5, 3)) * 4, r"data.h5: column 'constituents': 8000 jets whose constituents are out"),
        ("signal", np.full((500, 2, 5, 3), np.nan), r"signal.h5: column 'constituents': 15000 NaN or infinite values"),
        (
            "signal",
            np.zeros((500, 2, 4, 3)),
            r"signal.h5: column 'constituents' has shape \(500, 2, 4, 3\), but in the data",
        ),
        ("signal", np.zeros((499, 2, 5, 3)), r"signal.h5: columns of unequal length"),
    ],
)
def test_constituents_that_break_the_layout_are_refused(
    section: dict[str, Any], tmp_path: Path, part: str, values: np.ndarray, message: str
) -> None:
    rewrite(tmp_path / f"{part}.h5", values)
    with pytest.raises(BadInput, match=message):
        sources.load(section, tmp_path)


def test_a_task_is_small_and_drawn_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes scale: 450,000 events are 45 times as many."""
    random = np.random.default_rng(1)
    number = 10_000
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["m"], file["x"] = random.uniform(2.5, 4.5, number), random.normal(size=number)
        file["constituents"] = np.tile(constituents(100, 128, random), (number // 100, 1, 1, 1))
        whole = file["constituents"].nbytes
    monkeypatch.setattr(layout, "NUMBERS", 200_000)
    section = {"source": "hdf5", "data": "data.h5", "mass": {"column": "m"}, "features": FEATURES}
    tracemalloc.start()
    draw.make(sources.load(section, tmp_path), draw.Recipe((2.6, 4.4), (3.3, 3.7), None, 1), tmp_path / "task.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole / 3
    assert 45 * (tmp_path / "task.h5").stat().st_size < 50e6

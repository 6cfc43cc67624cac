import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import showers as readers
from sideband.benchmarks.events.asked import Asked
from sideband.benchmarks.report import describe
from sideband.benchmarks.simulate.showers import simulation
from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.infer import events
from tests.conftest import Outcome


def test_a_table_a_class_and_three_figures(
    command: Callable[..., Outcome], toy_events: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    path = toy_events(tmp_path / "own.h5", 4000, 400, label="label")
    done = command("benchmarks", "describe", path, "--mass", "m_vis")
    assert done.status == 0
    assert "own: background: 4,000 events" in done.out
    assert "own: signal: 400 events" in done.out
    figures = sorted((tmp_path / "figures").iterdir())
    assert [file.name for file in figures] == [
        f"{name}.{kind}" for name in ("correlation", "features", "spectrum") for kind in ("png", "svg")
    ]
    assert all(file.stat().st_size > 5000 for file in figures)


def test_ranks_are_spearman_s(toy_events: Callable[..., Path], tmp_path: Path) -> None:
    path = toy_events(tmp_path / "own.h5", 3000)
    (sample,) = describe.read(path, "m_vis")
    columns = events.read(path, ["m_vis", "charge"])
    ranks = [np.argsort(np.argsort(values)) for values in columns.values()]
    expected = np.corrcoef(ranks)[0, 1]
    table = describe.table(sample, "m_vis")
    rows = dict(zip(table.columns[0].cells, table.columns[-1].cells, strict=True))
    assert float(str(rows["charge"])) == pytest.approx(expected, abs=1e-3)
    assert rows["m_vis"] == ""


def test_constant_columns_and_single_events_are_described(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    path = toy_events(tmp_path / "own.h5", 1)
    assert len(describe.describe([path], tmp_path / "figures", Asked("m_vis"))) == 3


def test_what_cannot_be_described_is_refused(
    command: Callable[..., Outcome], toy_events: Callable[..., Path], tmp_path: Path
) -> None:
    path = toy_events(tmp_path / "own.h5", 100)
    assert "no column 'm_jj'" in command("benchmarks", "describe", path).refused()
    (tmp_path / "empty").mkdir()
    assert "no events file" in command("benchmarks", "describe", tmp_path / "empty").refused()
    assert "no such file" in command("benchmarks", "describe", tmp_path / "absent.h5").refused()
    toy_events(tmp_path / "none.h5", 0)
    assert "holds no events" in command("benchmarks", "describe", tmp_path / "none.h5", "--mass", "m_vis").refused()


def own(path: Path, **columns: Any) -> Path:
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, values in {"m_jj": random.uniform(2, 5, 300), "x": random.normal(size=300), **columns}.items():
            file[name] = values
            file[name].attrs["unit"] = "TeV" if name == "m_jj" else ""
    return path


def test_of_many_features_those_that_follow_the_mass_are_drawn(
    command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "DRAWN", 2)
    drawn: list[str] = []
    monkeypatch.setattr(
        describe, "_panels", lambda number, panels=describe._panels: drawn.append(number) or panels(number)
    )
    random = np.random.default_rng(0)
    path = own(tmp_path / "e.h5")
    with h5py.File(path, "a") as file:
        mass = file["m_jj"][:]
        for index, strength in enumerate((0.0, -3.0, 0.1, 2.0)):
            file[f"y{index}"] = random.normal(size=300) + strength * mass
    done = command("benchmarks", "describe", path)
    assert done.status == 0
    assert "figures: the 2 of 5 features whose rank correlation with m_jj is strongest; the tables have all" in done.out
    assert all(f"y{index}" in done.out for index in range(4))
    assert drawn == [2, 2]
    assert describe._chosen(describe.read(path, "m_jj")) == ["y1", "y3"]


def test_a_hundred_features_take_no_longer_than_those_that_are_drawn(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = own(tmp_path / "e.h5", **{f"x{index}": random.normal(size=300) for index in range(100)})
    (sample,) = describe.read(path, "m_jj")
    assert len(sample.features) == 101
    assert len(describe._chosen([sample])) == describe.DRAWN


def test_values_of_any_size_are_drawn(tmp_path: Path) -> None:
    columns = {
        "large": np.full(300, 3e38),
        "both": np.where(np.arange(300) % 2, 3.3e38, -3.3e38),
        "zero": np.zeros(300),
    }
    path = own(tmp_path / "e.h5", **{name: values.astype(np.float32) for name, values in columns.items()})
    assert len(describe.describe([path], tmp_path / "figures")) == 3


def test_names_of_any_kind_are_shown(command: Callable[..., Outcome], tmp_path: Path) -> None:
    names = ["[/red]", "$\\frac{$", ":smile:", "日本", "b\x01c", "two\nlines"]
    path = own(tmp_path / "[red] $x$.h5", **{name: np.arange(300.0) for name in names})
    done = command("benchmarks", "describe", path)
    assert done.status == 0
    assert done.err == ""
    assert ":smile:" in done.out


def test_showers_are_described_by_their_energy(command: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    made = simulation.Showers(
        np.arange(1, 31, dtype=np.float32), np.ones((30, VOXELS), np.float32), np.zeros(30, np.float32)
    )
    readers.write(path, made)
    assert command("benchmarks", "validate", path).status == 0
    assert "Spearman" in command("benchmarks", "describe", path).out


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": np.arange(300) % 3}, "column 'label' holds values other than 0"),
        ({"label": np.ones((300, 2))}, "'m_jj' and 'label' must be one number an event"),
        ({"m_jj": np.ones((300, 1))}, "'m_jj' and 'label' must be one number an event"),
        ({"x": np.full(300, np.nan)}, "column 'x' holds 300 NaN"),
        ({"x": np.ones(299)}, "columns of unequal length"),
        ({"x": ["a"] * 300}, "column 'x' is not an array of numbers"),
    ],
)
def test_what_validate_refuses_describe_refuses_too(
    command: Callable[..., Outcome], tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    path = own(tmp_path / "e.h5", **columns)
    assert "broken in" in command("benchmarks", "validate", path).refused()
    assert message in command("benchmarks", "describe", path).refused()
    assert [path.name for path in tmp_path.iterdir()] == ["e.h5"]


def test_pipes_and_folders_are_not_read(command: Callable[..., Outcome], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "folder.h5").mkdir()
    for verb in ("describe", "validate"):
        assert "is a device, pipe or socket" in command("benchmarks", verb, tmp_path / "pipe.h5").refused()
    assert "is a folder" in command("benchmarks", "validate", tmp_path / "folder.h5").refused()
    assert "is a folder" in command("benchmarks", "describe", tmp_path).refused()  # which stands first in it


@pytest.mark.parametrize("place", ["file", "file/deeper", "x" * 300, "/proc/figures", "a\0b"])
def test_figures_that_cannot_be_written_leave_nothing(
    command: Callable[..., Outcome], tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    path = own(tmp_path / "e.h5")
    command("benchmarks", "describe", path, "--out", tmp_path / place).refused()
    assert {path.name for path in tmp_path.iterdir()} == {"file", "e.h5"}


def test_a_figure_never_replaces_an_input(command: Callable[..., Outcome], tmp_path: Path) -> None:
    path = own(tmp_path / "spectrum.png")
    content = path.read_bytes()
    line = command("benchmarks", "describe", path, "--out", tmp_path).refused()
    assert "is an input of this command" in line
    assert path.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["spectrum.png"]

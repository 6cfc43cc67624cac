from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from sideband.benchmarks.events import layout
from sideband.benchmarks.events import showers as readers
from sideband.benchmarks.events.sources import DIJETS, PARTS
from sideband.benchmarks.simulate.showers import simulation
from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.infer.errors import BadInput
from tests.conftest import Outcome

EVENTS = 30
UNITS = {"m_jj": "TeV", "m_j1": "TeV", "dm_j": "TeV"}


def good() -> dict[str, Any]:
    """Columns that break no rule."""
    random = np.random.default_rng(0)
    constituents = np.zeros((EVENTS, 2, 5, 3), np.float32)
    constituents[:, :, :3, 0] = [30.0, 20.0, 10.0]
    constituents[:, :, :3, 1:] = random.uniform(-1, 1, (EVENTS, 2, 3, 2))
    return {
        "m_jj": random.uniform(2, 5, EVENTS),
        "m_j1": random.uniform(0, 1, EVENTS),
        "dm_j": random.uniform(0, 1, EVENTS),
        "tau21_j1": random.uniform(0, 1, EVENTS),
        "weight": random.uniform(0, 1, EVENTS),
        "charge": random.normal(size=EVENTS),
        "label": np.zeros(EVENTS, np.int8),
        "constituents": constituents,
    }


def write(path: Path, columns: dict[str, Any], units: dict[str, Any] | None = None) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
            unit = (units or {}).get(name, UNITS.get(name, ""))
            held = not isinstance(values, h5py.SoftLink | h5py.ExternalLink)
            if held and unit is not None and name != "label":
                file[name].attrs["unit"] = unit
    return path


def changed(name: str, place: Any, value: float) -> dict[str, Any]:
    columns = good()
    columns[name] = columns[name].astype(np.float64 if abs(value) > 1e38 else columns[name].dtype)
    columns[name][place] = value
    return columns


def test_good_files_break_no_rule(tmp_path: Path) -> None:
    assert layout.violations(write(tmp_path / "e.h5", good())) == []
    for part in PARTS:
        assert layout.violations(DIJETS / f"{part}.h5") == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({key: value for key, value in good().items() if key != "m_jj"}, "no mass column 'm_jj'"),
        (good() | {"m_j1": np.zeros(7)}, "columns of unequal length: charge 30"),
        (good() | {"charge": np.array([b"+"] * EVENTS)}, "'charge': is not an array of numbers"),
        (good() | {"charge": 1.0}, "'charge': is not an array of numbers"),
        ({key: value[:0] for key, value in good().items()}, "no events"),
        (changed("dm_j", 17, np.nan), "'dm_j': 1 NaN or infinite values, or beyond float32 (first: row 17)"),
        (changed("charge", 3, 1e39), "'charge': 1 NaN or infinite values, or beyond float32 (first: row 3)"),
        (changed("label", 2, 2), "'label': 1 values other than 0 (background) and 1 (signal)"),
        (changed("weight", 2, -0.5), "'weight': values down to -0.5; must not be negative"),
        (changed("dm_j", 4, -0.25), "'dm_j': values down to -0.25; must not be negative"),
        (good() | {"m_jj": np.full(EVENTS, 3500.0)}, "'m_jj': about 3.5e+03, so probably not in TeV"),
        (good() | {"charge": np.ones((EVENTS, 1))}, "'charge': shape (30, 1); must be [events], one number per event"),
        (good() | {"label": np.zeros((EVENTS, 2))}, "'label': shape (30, 2); must be [events], one number per event"),
        (good() | {"charge": h5py.SoftLink("/absent")}, "'charge': leads nowhere or to another file"),
        (good() | {"charge": h5py.SoftLink("/charge")}, "'charge': leads nowhere or to another file"),
        (good() | {"charge": h5py.ExternalLink("absent.h5", "/x")}, "'charge': leads nowhere or to another file"),
        (good() | {"constituents": np.zeros((EVENTS, 5, 3))}, "'constituents': shape (30, 5, 3); must be [events"),
        (changed("constituents", (0, 1, 2, 0), 25.0), "'constituents': 1 jets whose constituents are out of order"),
        (changed("constituents", (0, 1, 2, 2), 3.5), "'constituents': 1 jets whose constituents are out of order"),
        (changed("constituents", (5, 0, 4, 1), 0.1), "'constituents': 1 jets whose constituents are out of order"),
        (changed("constituents", (5, 0, 2, 0), -1.0), "'constituents': 1 jets whose constituents are out of order"),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named_alone(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    (line,) = layout.violations(write(tmp_path / "e.h5", columns))
    assert line.startswith(said)


def test_units_and_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "e.h5", good(), {"m_j1": "GeV", "charge": None})
    with h5py.File(path, "a") as file:
        file["more/x"] = np.zeros(EVENTS)
    assert sorted(layout.violations(path)) == [
        "'charge': no attribute 'unit' (a text, empty for a pure number)",
        "'m_j1': in 'GeV'; the layout has it in TeV",
        "group 'more': columns must be datasets of the file itself",
    ]


def test_units_are_texts_in_any_form(tmp_path: Path) -> None:
    path = write(tmp_path / "e.h5", good(), {"m_j1": np.bytes_(b"TeV"), "m_jj": np.bytes_("TeV")})
    assert layout.violations(path) == []
    for value in (5, np.array([b"TeV"]), np.bytes_(b"T\xff")):
        (line,) = layout.violations(write(tmp_path / "e.h5", good(), {"m_j1": value}))
        assert line == "'m_j1': no attribute 'unit' (a text, empty for a pure number)"


def test_rows_without_data_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "e.h5", {name: values for name, values in good().items() if name != "charge"})
    with h5py.File(path, "a") as file:
        file.create_dataset("charge", (2_000_000_000,), "f4", chunks=(1000,)).attrs["unit"] = ""
    (line,) = layout.violations(path)
    assert line == "'charge': has 2000000000 rows, but not all of them were ever written; write the file again"


def test_a_damaged_chunk_is_damage_and_no_broken_rule(tmp_path: Path) -> None:
    path = write(tmp_path / "e.h5", {"m_jj": good()["m_jj"]})
    with h5py.File(path, "a") as file:
        data = file.create_dataset("charge", data=np.arange(30.0), chunks=(10,), compression="gzip")
        chunk = data.id.get_chunk_info(1)
    with open(path, "r+b") as damaged:
        damaged.seek(chunk.byte_offset)
        damaged.write(b"damage")
    with pytest.raises(BadInput, match=r"column 'charge' cannot be read .* it is damaged or truncated"):
        layout.violations(path)


def test_pandas_stores_are_told_apart(tmp_path: Path) -> None:
    pd.DataFrame({"mj1": [1.0]}).to_hdf(tmp_path / "e.h5", key="df", mode="w")
    (line,) = layout.violations(tmp_path / "e.h5")
    assert "source: lhco" in line


def test_the_command_names_all_and_ends_with_two(command: Callable[..., Outcome], tmp_path: Path) -> None:
    fine = write(tmp_path / "fine.h5", good())
    bad = write(tmp_path / "bad.h5", changed("label", 2, 2) | {"dm_j": np.full(EVENTS, -1.0)})
    assert command("benchmarks", "validate", fine).out == f"{fine}: valid\n"
    done = command("benchmarks", "validate", fine, bad)
    assert done.out.count("\n  '") == 2
    assert f"2 rules of the events layout broken in {bad}" in done.refused()
    assert "Say it with --mass" in command("benchmarks", "validate", write_text(tmp_path / "t.h5")).refused()
    assert "no such file" in command("benchmarks", "validate", tmp_path / "absent.h5").refused()


def write_text(path: Path) -> Path:
    path.write_text("no HDF5")
    return path


def test_showers_have_an_energy_for_a_mass_and_504_voxels(tmp_path: Path) -> None:
    showers = simulation.Showers(np.ones(5, np.float32), np.ones((5, VOXELS), np.float32), np.zeros(5, np.float32))
    path = tmp_path / "showers.h5"
    readers.write(path, showers)
    assert layout.violations(path) == []
    with h5py.File(path, "a") as file:
        file["showers"][2, 7] = -1.0
    assert layout.violations(path) == ["'showers': values down to -1; must not be negative"]
    with h5py.File(path, "a") as file:
        del file["showers"], file["energy"]
        file["showers"] = np.ones((5, 10))
    broken = layout.violations(path)
    assert broken[0].startswith("no mass column 'energy'")
    assert "'showers': shape (5, 10); must be [events, 504 voxels]" in broken

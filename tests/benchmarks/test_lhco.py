import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
import pytest

from sideband.benchmarks.events import lhco, sources
from sideband.infer.errors import BadInput

# Momenta with whole-number energies: 1300 = |(500, 1200)|, 500 = |(300, 400)|, in GeV.
HEAVY = {"px": 300.0, "py": 0.0, "pz": 400.0, "m": 1200.0, "tau1": 0.5, "tau2": 0.25, "tau3": 0.125}
LIGHT = {"px": -300.0, "py": 0.0, "pz": -400.0, "m": 0.0, "tau1": 0.2, "tau2": 0.15, "tau3": 0.03}


def row(one: dict[str, float], two: dict[str, float], **more: float) -> dict[str, float]:
    jets = {f"{name}j{jet}": value for jet, values in ((1, one), (2, two)) for name, value in values.items()}
    return jets | more


def store(path: Path, rows: list[dict[str, float]], form: Literal["fixed", "table"] = "fixed") -> Path:
    pd.DataFrame(rows).to_hdf(path, key="df", mode="w", format=form)
    return path


@pytest.mark.parametrize("form", ["fixed", "table"])
def test_columns_by_hand(tmp_path: Path, form: Literal["fixed", "table"]) -> None:
    rows = [row(HEAVY, LIGHT, label=0), row(LIGHT, HEAVY, label=1)]
    found = lhco.read(store(tmp_path / "e.h5", rows, form), lhco.FEATURES)
    np.testing.assert_allclose(found.mass, 1.8)  # 1300 + 500 GeV at rest
    assert found.label is not None
    np.testing.assert_array_equal(found.label, [0, 1])
    expected = [
        0.0,  # m_j1, the lighter jet
        1.2,  # dm_j
        0.15 / 0.2001 * 0.2001 / 0.20001,  # tau21_j1
        0.25 / 0.50001,  # tau21_j2
        np.hypot(2 * np.log(3), np.pi),  # asinh(4/3) = ln 3
        0.03 / 0.15001,  # tau32_j1
        0.125 / 0.25001,  # tau32_j2
    ]
    for values in found.features:  # whichever jet comes first in the file
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7)


def test_the_azimuth_closes_on_itself() -> None:
    angle = 3.0
    one = {**HEAVY, "px": 500 * np.cos(angle), "py": 500 * np.sin(angle), "pz": 0.0}
    two = {**LIGHT, "px": 500 * np.cos(-angle), "py": 500 * np.sin(-angle), "pz": 0.0}
    table = lhco.columns(pd.DataFrame([row(one, two)]))
    np.testing.assert_allclose(table["dr_jj"], 2 * np.pi - 6)


def test_jets_of_one_constituent_have_finite_ratios() -> None:
    single = {**LIGHT, "tau1": 0.0, "tau2": 0.0, "tau3": 0.0}
    table = lhco.columns(pd.DataFrame([row(HEAVY, single)]))
    assert table["tau21_j1"] == table["tau32_j1"] == 0


def test_the_whole_data_set(tmp_path: Path) -> None:
    store(tmp_path / "features.h5", [row(HEAVY, LIGHT, label=0)] * 3 + [row(LIGHT, HEAVY, label=1)], "table")
    store(tmp_path / "more.h5", [row(HEAVY, LIGHT)] * 2)
    store(tmp_path / "herwig.h5", [row(HEAVY, LIGHT, label=0)] * 5)
    section = {"source": "lhco", "data": "features.h5", "background": "more.h5", "simulation": "herwig.h5"}
    found = sources.load(section, tmp_path)
    assert (found.mass, found.features, found.units["m_j1"]) == ("m_jj", lhco.DEFAULT, "TeV")
    assert found.data.label is not None
    assert (len(found.data), found.data.label.sum()) == (4, 1)
    assert found.background is not None
    assert found.simulation is not None
    assert (len(found.background), len(found.simulation)) == (2, 5)
    chosen = sources.load(section | {"features": ["tau32_j2", "m_j1"]}, tmp_path)
    np.testing.assert_allclose(chosen.data.features[0], [0.125 / 0.25001, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mj1": None}, "no column mj1"),
        ({"mj1": np.nan}, "NaN or infinite values in mj1"),
        ({"tau1j2": np.inf}, "NaN or infinite values in tau1j2"),
        ({"label": 2}, "holds values other than 0 and 1"),
        ({"label": None}, "has no 'label' column"),
        ({"unit": 1e-3}, "not in GeV"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = row(HEAVY, LIGHT, label=0)
    unit = change.get("unit", 1.0)
    content = {name: value * unit if name[0] in "pm" else value for name, value in content.items()}
    content = {name: change.get(name, value) for name, value in content.items()}
    content = {name: value for name, value in content.items() if value is not None}
    store(tmp_path / "e.h5", [content])
    with pytest.raises(BadInput, match=message):
        sources.load({"source": "lhco", "data": "e.h5"}, tmp_path)


def test_unknown_features_are_refused(tmp_path: Path) -> None:
    store(tmp_path / "e.h5", [row(HEAVY, LIGHT, label=0)])
    with pytest.raises(BadInput, match="the LHC Olympics files have no 'tau43_j1'"):
        sources.load({"source": "lhco", "data": "e.h5", "features": ["tau43_j1"]}, tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.h5"
    path.write_text("text")
    with pytest.raises(BadInput, match="a text file, not HDF5"):
        lhco.read(path)
    pd.DataFrame([row(HEAVY, LIGHT)])[:0].to_hdf(path, key="df", mode="w")
    with pytest.raises(BadInput, match="no events"):
        lhco.read(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = store(tmp_path / "e.h5", [row(HEAVY, LIGHT, label=0)] * 2000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match="it is damaged or truncated, fetch or write it again"):
        lhco.read(path)


def shift(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([*frame.columns[:-1], "mj1"], axis=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(mj1="heavy"), "PSEUDOATOM|must have different names and hold numbers"),
        (lambda frame: frame.assign(mj1=frame["mj1"] + 1j), "must have different names and hold numbers"),
        (lambda frame: frame.assign(extra=1.0).pipe(shift), "must have different names and hold numbers"),
        (lambda frame: frame.assign(pxj1=0.0, pyj1=0.0), r"dr_jj of 3 events is not finite \(first: row 0\)"),
        (lambda frame: frame.assign(pxj1=1e200), r"m_jj of 3 events is not finite \(first: row 0\)"),
        (lambda frame: frame.assign(tau1j1=-lhco.dijet.TAU_FLOOR), "tau21_j. of 3 events is not finite"),
    ],
)
def test_events_that_cannot_be_are_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    frame = change(pd.DataFrame([row(HEAVY, LIGHT, label=0)] * 3))
    frame.to_hdf(tmp_path / "e.h5", key="df", mode="w", format="fixed" if frame.columns.is_unique else "table")
    with pytest.raises(BadInput, match=message):
        lhco.read(tmp_path / "e.h5")


class Code:
    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)

    folder = Path()


def test_pickled_code_does_not_run(tmp_path: Path) -> None:
    path = store(tmp_path / "e.h5", [row(HEAVY, LIGHT, label=0)], "table")
    Code.folder = tmp_path / "made"
    with h5py.File(path, "a") as file:
        file["df"].attrs["info"] = np.bytes_(pickle.dumps(Code(), protocol=0))
    with pytest.raises(BadInput, match="attribute 'info' of '/df' has a type that no table of numbers has"):
        lhco.read(path)
    assert not (tmp_path / "made").exists()


def test_structures_that_pytables_cannot_stand_are_refused(tmp_path: Path) -> None:
    def looped(file: h5py.File) -> None:
        file["df/again"] = file["df"]

    def dangling(file: h5py.File) -> None:
        file["df/again"] = h5py.SoftLink("/absent")

    def unnamed(file: h5py.File) -> None:
        h5py.h5a.create(file["df"].id, b"bad\xff", h5py.h5t.STD_I8LE, h5py.h5s.create(h5py.h5s.SCALAR))

    def unwritten(file: h5py.File) -> None:
        del file["df/block0_values"]
        file.create_dataset("df/block0_values", (2_000_000_000, 14), "f8")

    changes = {looped: "is in the file twice", dangling: "has links that lead nowhere"}
    changes |= {unnamed: "a type that no table of numbers", unwritten: "not all of them were ever written"}
    for change, message in changes.items():
        path = store(tmp_path / "e.h5", [row(HEAVY, LIGHT, label=0)])
        with h5py.File(path, "a") as file:
            change(file)
        with pytest.raises(BadInput, match=message):
            lhco.read(path)

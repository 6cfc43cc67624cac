"""Three layouts of files, read alike; and what is refused, in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import showers as readers
from sideband.benchmarks.events.showers import read, write
from sideband.benchmarks.simulate.showers.geometry import images
from sideband.benchmarks.simulate.showers.simulation import Showers, photons
from sideband.infer import events
from sideband.infer.errors import BadInput

COUNT = 25
Contents = dict[str, Any]


@pytest.fixture
def showers() -> Showers:
    random = np.random.default_rng(0)
    voxels = random.gamma(0.5, 10, (COUNT, 504)) * (random.random((COUNT, 504)) < 0.2)
    energy, lost = random.uniform(1, 100, COUNT), random.exponential(10, COUNT)
    return Showers(energy.astype(np.float32), voxels.astype(np.float32), lost.astype(np.float32))


def ours(showers: Showers) -> Contents:
    return {"energy": showers.energy, "showers": showers.voxels.copy(), "lost": showers.lost}


def caloflow(showers: Showers) -> Contents:
    layers = {f"layer_{i}": image.astype(float) for i, image in enumerate(images(showers.voxels))}
    return {"energy": showers.energy[:, None], **layers, "overflow": np.repeat(showers.lost[:, None] / 3, 3, axis=1)}


def challenge(showers: Showers) -> Contents:
    return {"incident_energies": 1000 * showers.energy[:, None].astype(float), "showers": showers.voxels.copy()}


def written(path: Path, contents: Contents) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in contents.items():
            file[name] = values
    return path


@pytest.mark.parametrize("layout", [ours, caloflow, challenge])
@pytest.mark.parametrize("rows", [4, 10_000])
def test_every_layout_is_read(
    layout: Callable[[Showers], Contents], rows: int, showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "SLICE", rows)
    found = read(written(tmp_path / "showers.h5", layout(showers)))
    np.testing.assert_allclose(found.energy, showers.energy, rtol=1e-6)
    np.testing.assert_array_equal(found.voxels, showers.voxels)
    lost = np.zeros(COUNT) if layout is challenge else showers.lost
    np.testing.assert_allclose(found.lost, lost, rtol=1e-6)
    assert {found.energy.dtype, found.voxels.dtype, found.lost.dtype} == {np.dtype(np.float32)}


def test_what_is_lost_may_be_left_out(showers: Showers, tmp_path: Path) -> None:
    for layout in (ours, caloflow):
        contents = layout(showers)
        contents.pop("lost", contents.pop("overflow", None))
        assert not read(written(tmp_path / "showers.h5", contents)).lost.any()


def test_what_is_written_is_read_again(showers: Showers, tmp_path: Path) -> None:
    path = tmp_path / "new" / "showers.h5"
    label = np.arange(COUNT) % 2
    write(path, showers, label, depth=np.full(COUNT, 1.04, np.float32))
    found = read(path)
    for name in ("energy", "voxels", "lost"):
        np.testing.assert_array_equal(getattr(found, name), getattr(showers, name))
    columns = events.read(path, ["label", "depth"])
    np.testing.assert_array_equal(columns["label"], label)
    assert (columns["depth"] == np.float32(1.04)).all()
    with h5py.File(path) as file:
        assert {name: file[name].attrs.get("unit", "") for name in file} == {
            "energy": "GeV", "showers": "MeV", "lost": "MeV", "label": "", "depth": "",
        }  # fmt: skip
    write(path, showers)
    with h5py.File(path) as file:
        assert set(file) == {"energy", "showers", "lost"}
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        write(tmp_path / "file" / "showers.h5", showers)


def put(name: str, row: int, value: float) -> Callable[[Contents], None]:
    def change(contents: Contents) -> None:
        contents[name] = contents[name].copy()
        contents[name][row, ...] = value

    return change


def replaced(**columns: Any) -> Callable[[Contents], None]:
    return lambda contents: contents.update(columns)


REFUSED: list[tuple[Callable[[Showers], Contents], Callable[[Contents], Any], str]] = [
    (ours, put("showers", 3, np.nan), "1 showers with NaN or infinite values (first: row 3); drop those events"),
    (ours, put("lost", 24, np.inf), "1 showers with NaN or infinite values (first: row 24); drop those events"),
    (ours, put("showers", 5, 1e300), "1 showers with NaN or infinite values (first: row 5); drop those events"),
    (caloflow, put("layer_2", 9, -1), "1 showers with negative energies (first: row 9); drop those events"),
    (caloflow, put("energy", 2, -1), "1 showers with negative energies (first: row 2); drop those events"),
    (challenge, put("incident_energies", 7, 0), "1 showers with an incident energy of 0 (first: row 7); drop"),
    (challenge, put("showers", slice(6, 20), 0), "14 showers with no energy in any voxel (first: row 6); drop those"),
    (ours, replaced(energy=np.ones(24)), "columns of unequal length: energy 24, showers 25"),
    (ours, replaced(energy=np.ones((25, 2))), "'energy' has shape (25, 2); must be one number per shower"),
    (ours, replaced(energy=np.full(25, b"x")), "column 'energy' is not an array of numbers"),
    (ours, replaced(showers=np.ones((25, 500))), "'showers' holds 500 voxels per shower, not 504: this geo"),
    (challenge, replaced(showers=np.ones((25, 6480))), "'showers' holds 6480 voxels per shower, not 504: this geo"),
    (caloflow, replaced(layer_1=np.ones((25, 12, 6))), "'layer_1' holds 12 x 6 voxels per shower, not 12 x 12: this"),
    (caloflow, lambda contents: contents.pop("layer_1"), "not a file of showers: it has energy, layer_0, layer_2, "),
    (
        ours,
        lambda contents: contents.pop("energy"),
        "not a file of showers: it has lost, showers, but must have energy",
    ),
    (ours, lambda contents: contents.update({k: v[:0] for k, v in contents.items()}), "holds no showers"),
]


@pytest.mark.parametrize(("layout", "change", "said"), REFUSED)
def test_one_line_says_what_is_wrong(
    layout: Callable[[Showers], Contents],
    change: Callable[[Contents], Any],
    said: str,
    showers: Showers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readers, "SLICE", 4)
    contents = layout(showers)
    if said.startswith("1 showers with NaN"):
        contents = {name: values.astype(float) for name, values in contents.items()}
    change(contents)
    path = written(tmp_path / "showers.h5", contents)
    with pytest.raises(BadInput) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: {said}")
    assert "\n" not in str(refused.value)


def test_files_that_cannot_be_read(showers: Showers, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        read(tmp_path / "missing.h5")
    path = tmp_path / "showers.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(BadInput, match="a text file, not HDF5"):
        read(path)
    with h5py.File(path, "w") as file:
        file["energy"] = showers.energy
        file.create_dataset("showers", data=showers.voxels, chunks=(5, 504), compression="gzip")
        chunk = file["showers"].id.get_chunk_info(2)
    with open(path, "r+b") as damaged:
        damaged.seek(chunk.byte_offset)
        damaged.write(b"damage" * 10)
    with pytest.raises(BadInput, match=r"column 'showers' cannot be read \(.*; it is damaged or trunc"):
        read(path)


def test_more_than_the_memory_is_refused(showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "showers.h5", ours(showers))
    monkeypatch.setattr(events.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 20}[name])
    with pytest.raises(BadInput, match=r"its showers take 5.06e-05 GB, and there are 2e-05 GB of memory; choose fewer"):
        read(path)
    with pytest.raises(BadInput, match=r"100 showers take 0.000202 GB"):
        photons(100, 1)


def test_rows_that_were_never_written_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "showers.h5", "w") as file:
        file.create_dataset("energy", (2_000_000_000,), "f4")
        file.create_dataset("showers", (2_000_000_000, 504), "f4", chunks=(1000, 504))
    with pytest.raises(BadInput, match="column 'energy' has 2000000000 rows, but not all of them were ever written"):
        read(tmp_path / "showers.h5")

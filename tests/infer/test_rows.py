import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.infer import events, rows
from sideband.infer.errors import BadInput

SHAPE = (2, 3, 3)
LENGTHS = {"one": 50, "two": 2000}


@pytest.fixture(params=[None, (7, *SHAPE)], ids=["contiguous", "chunked"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file whose `wide` refers to two others, rows in any order and some twice, beside a column `m` of its own."""
    random = np.random.default_rng(1)
    (tmp_path / "events").mkdir()
    (tmp_path / "runs").mkdir()
    for name, length in LENGTHS.items():
        with h5py.File(tmp_path / "events" / f"{name}.h5", "w") as file:
            file.create_dataset("wide", data=random.normal(size=(length, *SHAPE)), chunks=request.param)
    numbers = random.integers(sum(LENGTHS.values()), size=700)
    files = [(tmp_path / "events" / f"{name}.h5", length) for name, length in LENGTHS.items()]
    with events.new_file(tmp_path / "runs" / "task.h5") as file:
        group = file.create_group("data")
        rows.write(group, "wide", numbers, SHAPE, files, "GeV")
        group["m"], group["numbers"] = numbers.astype(np.float32), numbers
    return tmp_path / "runs" / "task.h5"


def expected(task: Path) -> np.ndarray:
    parts = [events.read(task.parents[1] / "events" / f"{name}.h5", ["wide"])["wide"] for name in LENGTHS]
    with h5py.File(task) as file:
        return np.concatenate(parts)[file["data/numbers"][:]]


def change(task: Path, **attributes: Any) -> None:
    with h5py.File(task, "a") as file:
        file["data/wide"].attrs.update(attributes)


@pytest.mark.parametrize("block", [rows.BLOCK, 1000, 1])
@pytest.mark.parametrize("page", [rows.PAGE, 72 * 60, 1])
def test_a_column_of_rows_reads_as_if_its_values_were_there(
    task: Path, block: int, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BLOCK", block)
    monkeypatch.setattr(rows, "PAGE", page)
    found = events.read(task, ["m", "wide"], "data")
    assert found["wide"].dtype == np.float32
    np.testing.assert_array_equal(found["wide"], expected(task))
    part = events.read(task, ["m", "wide"], "data", slice(100, 130))
    np.testing.assert_array_equal(part["wide"], expected(task)[100:130])
    assert events.read(task, ["wide"], "data", slice(5, 5))["wide"].shape == (0, *SHAPE)


def test_neighbours_are_read_once(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PAGE", 72 * 400)
    files: list[Path] = []
    opened = rows.opened
    monkeypatch.setattr(rows, "opened", lambda path: files.append(path) or opened(path))
    for start in range(0, 700, 100):
        part = events.read(task, ["wide"], "data", slice(start, start + 100))["wide"]
        np.testing.assert_array_equal(part, expected(task)[start : start + 100])
    assert len(files) == 2 * len(LENGTHS)  # for two pages


def test_it_says_what_it_is_without_reading(task: Path) -> None:
    shutil.rmtree(task.parents[1] / "events")
    with events.opened(task, "data") as node:
        assert events.count(node, ["m", "wide"], task) == 700
        wide = events.datasets(node, ["wide"], task)["wide"]
        assert (wide.shape, wide.ndim, len(wide), events.unit(wide, "wide", task)) == ((700, *SHAPE), 4, 700, "GeV")
        assert events.shape(node["wide"], "wide", task) == (700, *SHAPE)
        assert (events.shape(node["m"], "m", task), events.shape(node, "data", task)) == ((700,), ())


def test_both_may_move_together(task: Path, tmp_path: Path) -> None:
    values = expected(task)
    for name in ("events", "runs"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    moved = tmp_path / "elsewhere" / "runs" / "task.h5"
    os.symlink(moved, tmp_path / "link.h5")
    for path in (moved, tmp_path / "link.h5"):
        np.testing.assert_array_equal(events.read(path, ["wide"], "data")["wide"], values)


def test_another_file_is_refused(task: Path) -> None:
    other = task.parents[1] / "events" / "two.h5"
    with h5py.File(other, "a") as file:
        file["wide"][0] += 1
    with pytest.raises(BadInput, match=r"two\.h5: is not the file that .*task\.h5 was drawn from; draw the task again"):
        events.read(task, ["wide"], "data")


def test_a_missing_file_is_refused(task: Path) -> None:
    (task.parents[1] / "events" / "one.h5").unlink()
    with pytest.raises(BadInput, match=r"one\.h5: no such file, but .*task\.h5 refers to its column 'wide'"):
        events.read(task, ["wide"], "data")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"shape": "wide"}, "column 'wide' lacks a valid attribute 'shape'"),
        ({"lengths": [1.5, 2.5]}, "column 'wide' lacks a valid attribute 'lengths'"),
        ({"shape": [2, -3, 3]}, "column 'wide' lacks a valid attribute 'shape'"),
        ({"files": ["", "a"]}, "/runs: no such file"),
        ({"sha256": ["0"]}, "column 'wide' has attributes that do not match"),
        ({"shape": [2, 3, 4]}, "column 'wide' does not match .*one.h5"),
        ({"lengths": [50, 100]}, "column 'wide' refers to missing rows"),
        ({"lengths": [500, 2000]}, "column 'wide' does not match .*one.h5"),
    ],
)
def test_a_column_that_contradicts_its_files_is_one_line(task: Path, attributes: dict[str, Any], message: str) -> None:
    change(task, **attributes)
    with pytest.raises(BadInput, match=message):
        events.read(task, ["wide"], "data")


def test_values_that_are_not_finite_are_found_in_their_own_file(tmp_path: Path) -> None:
    values = np.zeros((10, 4), np.float32)
    values[7, 2] = np.nan
    with h5py.File(tmp_path / "events.h5", "w") as file:
        file["wide"] = values
    with events.new_file(tmp_path / "task.h5") as file:
        rows.write(file, "wide", np.array([9, 7, 5]), (4,), [(tmp_path / "events.h5", 10)], "")
    with pytest.raises(BadInput, match=r"events\.h5: column 'wide' holds 1 NaN or infinite values \(first: row 7\)"):
        events.read(tmp_path / "task.h5", ["wide"])


def test_flipped_bits_anywhere_are_one_line_or_nothing(task: Path) -> None:
    good, random = task.read_bytes(), np.random.default_rng(1)
    lines: list[str] = []
    for number in range(200):
        content, path = bytearray(good), task.with_name(f"{number}.h5")
        for place in random.integers(len(good), size=int(random.integers(1, 30))):
            content[place] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
        try:
            events.read(path, ["m", "wide"], "data")
        except BadInput as error:
            lines.append(str(error))
    assert 20 < len(lines) < 200
    assert not any("\n" in line for line in lines)

import resource
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.infer import events
from sideband.infer.errors import BadInput


def store(path: Path, **columns: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
    return path


def test_read_gives_float32_columns_and_row_ranges(tmp_path: Path) -> None:
    path = store(tmp_path / "e.h5", m=np.arange(5.0), label=np.array([0, 1, 0, 1, 1], np.int8), wide=np.ones((5, 2, 3)))
    found = events.read(path, ["m", "label", "wide"], rows=slice(1, 3))
    assert {name: values.shape for name, values in found.items()} == {"m": (2,), "label": (2,), "wide": (2, 2, 3)}
    assert all(values.dtype == np.float32 for values in found.values())
    np.testing.assert_array_equal(found["m"], [1, 2])


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        ({"m": np.ones(3), "x": np.ones(3)}, ["m", "y"], r"no column 'y' in '/' \(columns there: m, x\)"),
        ({"m": np.ones(3), "x": np.ones(2)}, ["m", "x"], "columns of unequal length: m 3, x 2"),
        ({"m": np.array([b"a", b"b"])}, ["m"], "column 'm' is not an array of numbers"),
        ({"m": 1.0}, ["m"], "column 'm' is not an array of numbers"),
        ({"m": [1.0, 2.0, np.nan, np.nan]}, ["m"], r"column 'm' holds 2 NaN or infinite values \(first: row 2\)"),
        ({"m": [[1.0, 2.0], [1.0, -np.inf]]}, ["m"], r"column 'm' holds 1 NaN or infinite values \(first: row 1\)"),
    ],
)
def test_read_refuses_with_column_and_place(
    tmp_path: Path, columns: dict[str, object], wanted: list[str], message: str
) -> None:
    path = store(tmp_path / "e.h5", **columns)
    with pytest.raises(BadInput, match=message) as refused:
        events.read(path, wanted)
    assert str(path) in str(refused.value)


def test_read_counts_rows_from_the_start_of_the_file(tmp_path: Path) -> None:
    path = store(tmp_path / "e.h5", m=[1.0, 2.0, 3.0, np.nan])
    with pytest.raises(BadInput, match="first: row 3"):
        events.read(path, ["m"], rows=slice(2, 4))


def test_read_refuses_what_float32_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="column 'm'"):
        events.read(store(tmp_path / "e.h5", m=[1.0, 1e39]), ["m"])


def test_opened_refuses_groups_and_files_that_are_not_there(tmp_path: Path) -> None:
    path = store(tmp_path / "e.h5", m=np.arange(5000.0))
    with pytest.raises(BadInput, match="no group 'data'"):
        events.read(path, ["m"], "data")
    with pytest.raises(BadInput, match="no such file"):
        events.read(tmp_path / "absent.h5", ["m"])


def links(path: Path) -> Path:
    store(path.with_name("other.h5"), x=[1.0, 2.0])
    store(path, m=[1.0, 2.0])
    with h5py.File(path, "a") as file:
        file["same"] = h5py.SoftLink("/m")
        file["nowhere"] = h5py.SoftLink("/absent")
        file["there"], file["back"] = h5py.SoftLink("/back"), h5py.SoftLink("/there")
        file["outside"] = h5py.ExternalLink("other.h5", "/x")
        file["absent file"] = h5py.ExternalLink("absent.h5", "/x")
        group = file.create_group("group")
        group["self"] = group
    return path


def test_links_within_a_file_are_followed_and_others_are_not(tmp_path: Path) -> None:
    path = links(tmp_path / "e.h5")
    np.testing.assert_array_equal(events.read(path, ["same"])["same"], [1, 2])
    for name in ("nowhere", "there", "outside", "absent file", "group", "group/self", "", ".", "m\0"):
        with pytest.raises(BadInput, match=r"no column .* in '/' \(columns there: m, same\)"):
            events.read(path, ["m", name])
    with events.opened(path) as file:
        held = events.items(file)
    assert [name for name, each in held.items() if each is None] == [
        "absent file",
        "back",
        "nowhere",
        "outside",
        "there",
    ]


def elsewhere(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(path.with_name("other.h5"), "x", (3,))
    file.create_virtual_dataset("virtual", layout)
    file.create_dataset("external", (3,), "f4", external=[(path.with_name("raw").as_posix(), 0, 12)])


def test_values_in_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.h5"
    with h5py.File(path, "w") as file:
        elsewhere(file, path)
    for name in ("virtual", "external"):
        with pytest.raises(BadInput, match=f"column '{name}' has its values in other files"):
            events.read(path, [name])


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (1_000_000,)}, {"chunks": (1_000_000,), "compression": "gzip", "maxshape": (None,)}]
)
def test_rows_that_were_never_written_are_refused_before_anything_is_allocated(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "e.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("m", (2_000_000_000,), "f4", **options)
        if options:
            data[:10] = 1
    tracemalloc.start()
    with pytest.raises(BadInput, match="column 'm' has 2000000000 rows, but not all of them were ever written"):
        events.read(path, ["m"])
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


def test_whole_chunks_of_whatever_kind_are_read(tmp_path: Path) -> None:
    values = np.arange(1050.0)
    with h5py.File(tmp_path / "e.h5", "w", libver="latest") as file:
        file.create_dataset("one", data=values, chunks=(2000,), maxshape=(None,))
        file.create_dataset("many", data=values, chunks=(100,), compression="gzip")
        file.create_dataset("none", (0,), "f4", maxshape=(None,))
    found = events.read(tmp_path / "e.h5", ["one", "many"])
    np.testing.assert_array_equal([found["one"], found["many"]], [values, values])
    assert len(events.read(tmp_path / "e.h5", ["none"])["none"]) == 0


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store(tmp_path / "e.h5", m=np.ones(1000), x=np.ones((1000, 3), np.float32))
    monkeypatch.setattr(events.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 20}[name])
    with pytest.raises(BadInput, match=r"its events take 2.8e-05 GB, and there are 2e-05 GB of memory; give fewer"):
        events.read(path, ["m", "x"])
    assert len(events.read(path, ["m", "x"], rows=slice(500))["x"]) == 500


@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", ">f8", "u8", "i8", "u1", ">i2", "bool"])
def test_numbers_of_every_kind_are_read(tmp_path: Path, kind: str) -> None:
    values = (np.arange(200) % 2 if kind == "bool" else np.arange(200)).astype(kind)
    found = events.read(store(tmp_path / "e.h5", m=values), ["m"])["m"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))


ODD: list[Any] = [np.ones(3, "c8"), np.zeros(3, [("a", "f4")]), np.zeros(3, "V4"), ["a", "b", "c"], h5py.Empty("f4")]


@pytest.mark.parametrize("values", ODD)
def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path, values: Any) -> None:
    with pytest.raises(BadInput, match="column 'm' is not an array of numbers"):
        events.read(store(tmp_path / "e.h5", m=values), ["m"])


@pytest.mark.parametrize("value", ["GeV", np.bytes_(b"GeV"), np.bytes_("µm".encode()), None, ""])
def test_units_are_texts_however_they_are_stored(tmp_path: Path, value: Any) -> None:
    path = store(tmp_path / "e.h5", m=[1.0])
    with h5py.File(path, "a") as file:
        if value is not None:
            file["m"].attrs["unit"] = value
        expected = value.decode() if isinstance(value, bytes) else value or ""
        assert events.unit(file["m"], "m", path) == expected


@pytest.mark.parametrize("value", [5, 1.5, np.array([b"GeV"]), np.bytes_(b"G\xffV"), "two\nlines", np.zeros(2)])
def test_units_that_are_no_texts_are_refused(tmp_path: Path, value: Any) -> None:
    path = store(tmp_path / "e.h5", m=[1.0])
    with h5py.File(path, "a") as file:
        file["m"].attrs["unit"] = value
        with pytest.raises(BadInput, match="'m' has an attribute 'unit' that is not a line of text; write it as one"):
            events.unit(file["m"], "m", path)


def test_attributes_are_read_as_plain_values(tmp_path: Path) -> None:
    told = {"text": "a", "names": ["a", "b"], "number": 1.5, "seed": 3, "window": [1.0, 2.0], "flag": True}
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.attrs.update(told)
        file.attrs["bytes"] = np.array([b"a", b"b"])
        file.attrs.create("reference", file.ref, dtype=h5py.ref_dtype)
        file.attrs["compound"] = np.zeros(1, [("a", "f4")])
        found = events.attributes(file)
    assert found == {**told, "bytes": ["a", "b"]}
    assert type(found["seed"]) is int
    assert type(found["flag"]) is bool


def test_window_is_open_and_compared_as_stored() -> None:
    mass = np.array([3.3, np.nextafter(np.float32(3.3), np.float32(4)), 3.5, 3.7], dtype=np.float32)
    np.testing.assert_array_equal(events.in_window(mass, (3.3, 3.7)), [False, True, True, False])


def test_a_new_file_on_a_full_disk_is_refused(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: HDF5 itself would end the process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    store(tmp_path / "e.h5", m=[1.0])
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with (
            pytest.raises(BadInput, match=r"e.h5: cannot be written \(File too large\)"),
            events.new_file(tmp_path / "e.h5") as file,
        ):
            file["m"] = np.random.default_rng(0).normal(size=10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["e.h5"]
    assert events.read(tmp_path / "e.h5", ["m"])["m"] == [1.0]
    with events.new_file(tmp_path / "e.h5") as file:
        file["m"] = np.arange(5.0)
    assert len(events.read(tmp_path / "e.h5", ["m"])["m"]) == 5

import fcntl
import gzip
import os
import pickle
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer import damage, events
from sideband.infer.errors import BadInput

MATMUL = Path(events.__file__).with_name("matmul.onnx")


def written(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        for name in ("m", "x"):
            file.create_dataset(name, data=np.arange(100.0), chunks=(25,), compression="gzip").attrs["unit"] = "GeV"
    return path


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"root\0\0\xf3\x0c" + bytes(500), "a ROOT file"),
        (b"PAR1" + bytes(50), "a Parquet file"),
        (b"m,x\n1,2\n" * 300, "a text file"),
        ("µ,ε\n".encode() * 300, "a text file"),
        (gzip.compress(b"m", mtime=0), "a gzip file"),
        (pickle.dumps({"m": 1}), "a pickle"),
        (MATMUL.read_bytes(), "an ONNX file"),
        (bytes(range(255, 0, -1)), "a file of an unknown kind"),
        (b"", "an empty file"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "e.h5").write_bytes(content)
    with pytest.raises(BadInput, match=f"e.h5: {kind}, not HDF5"):
        events.read(tmp_path / "e.h5", ["m"])


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    cases = {tmp_path / "pipe.h5": "is a device, pipe or socket", tmp_path: "is a folder", "/dev/zero": "is a device"}
    cases |= {tmp_path / "absent.h5": "no such file", tmp_path / ("x" * 300): "File name too long", "a\0b": "null byte"}
    for path, message in cases.items():
        with pytest.raises(BadInput, match=message):
            events.read(path, ["m"])


def test_a_truncated_file_is_told_from_another_kind(tmp_path: Path) -> None:
    path = written(tmp_path / "e.h5")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(
        BadInput, match=r"cannot be read \(truncated file.*; it is damaged or truncated, fetch or write"
    ):
        events.read(path, ["m"])


def test_a_file_that_is_being_written_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "e.h5")
    with open(path, "r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)  # as HDF5 does
        with pytest.raises(BadInput, match="another program is writing it"):
            events.read(path, ["m"])


def test_texts_that_hdf5_would_read_for_ever(tmp_path: Path) -> None:
    path = written(tmp_path / "e.h5")
    content = bytearray(path.read_bytes())
    place = content.index(b"GCOL") + 16
    while struct.unpack_from("<H", content, place)[0]:  # up to the free space at the end
        place += 16 + -(-struct.unpack_from("<Q", content, place + 8)[0] // 8) * 8
    for size in (0, 2**64 - 1):
        struct.pack_into("<Q", content, place + 8, size)
        path.write_bytes(content)
        os.utime(path, ns=(0, size // 2**32))  # as fast as this, two files can bear the same time
        with pytest.raises(BadInput, match="torn texts"), events.opened(path) as file:
            file["m"].attrs["unit"]


def test_checksums_without_room(tmp_path: Path) -> None:
    path = tmp_path / "e.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=np.arange(100.0), chunks=(50,), fletcher32=True)
    size = struct.pack("<I", 50 * 8 + 4)
    content = path.read_bytes()
    assert content.count(size) == 2  # of the two chunks, in their index
    path.write_bytes(content.replace(size, bytes(4), 1))
    with pytest.raises(BadInput, match="column 'm' has chunks without a checksum"):
        events.read(path, ["m"])


def test_only_what_h5py_raises_is_damage(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), damage.undamaged("e.h5"):
        1 / 0  # noqa: B018
    with pytest.raises(BadInput, match="no more"), damage.undamaged("e.h5"):
        raise BadInput("no more")
    with pytest.raises(KeyError), events.opened(written(tmp_path / "e.h5")):
        {}["m"]


def test_flipped_bits_anywhere_are_one_line_or_nothing(tmp_path: Path) -> None:
    good = written(tmp_path / "good.h5").read_bytes()
    random = np.random.default_rng(1)
    told: list[str] = []
    for number in range(300):
        content, path = bytearray(good), tmp_path / f"{number}.h5"
        for place in random.integers(len(good), size=int(random.integers(1, 9))):
            content[place] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
        try:
            with events.opened(path) as file:
                events.items(file), events.attributes(file)
                for name, data in events.datasets(file, ["m", "x"], path).items():
                    events.unit(data, name, path)
            events.read(path, ["m", "x"])
        except BadInput as error:
            told.append(str(error))
    assert 50 < len(told) < 300
    assert all(line.startswith(str(tmp_path)) and "\n" not in line for line in told)

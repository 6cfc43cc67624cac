import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from sideband.train.files import Damaged, read_arrays, read_tensors, write_tensors


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    write_tensors({"weights": torch.arange(1000.0)}, tmp_path / "tensors.pt")
    return tmp_path / "tensors.pt"


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    np.savez(tmp_path / "arrays.npz", numbers=np.arange(1000.0))
    return tmp_path / "arrays.npz"


def test_files_are_read_as_written(tensors: Path, arrays: Path) -> None:
    assert torch.equal(read_tensors(tensors)["weights"], torch.arange(1000.0))
    assert read_arrays(arrays).keys() == {"numbers"}


@pytest.mark.parametrize("kind", ["tensors", "arrays"])
def test_no_flipped_bit_goes_unnoticed(kind: str, request: pytest.FixtureRequest) -> None:
    """Neither in the numbers, whose checksums torch ignores, nor in their description."""
    path: Path = request.getfixturevalue(kind)
    read = {"tensors": read_tensors, "arrays": read_arrays}[kind]
    whole = path.read_bytes()
    expected = str(read(path))
    noticed = 0
    for place in np.random.default_rng(0).integers(len(whole), size=60):
        content = bytearray(whole)
        content[place] ^= 1 << int(place % 8)
        path.write_bytes(content)
        try:
            assert str(read(path)) == expected  # a flag or a time of the archive
        except Damaged:
            noticed += 1
    assert noticed > 30


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_torn_file_is_reported(tensors: Path, arrays: Path, kept: float) -> None:
    for path, read in ((tensors, read_tensors), (arrays, read_arrays)):
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(Damaged):
            read(path)


def test_other_archives_are_reported(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("numbers.npy", b"no array")
    for read in (read_tensors, read_arrays):
        with pytest.raises(Damaged):
            read(tmp_path / "other.zip")
        with pytest.raises(Damaged):
            read(tmp_path)


def test_a_full_disk_is_reported_as_such(tmp_path: Path) -> None:
    """torch itself reports only "iostream error"."""
    with largest_file(2000), pytest.raises(OSError, match="File too large"):
        write_tensors(torch.zeros(10_000), tmp_path / "large.pt")

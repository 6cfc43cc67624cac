"""What is wrong with a file that should be HDF5: it is missing, of another format, or damaged. One line each."""

import functools
import mmap
import os
import re
import stat
import struct
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BadInput, in_one_line

_HEAP = b"GCOL\1\0\0\0"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FOREIGN = {  # what files of other kinds begin with
    b"root": "a ROOT file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a ZIP archive (as of NumPy or PyTorch)",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"SQLite format 3": "an SQLite database",
}


def check_regular(path: str | Path) -> None:
    """Refuse what is no regular file before anything opens it, as a pipe would wait for ever; raises `BadInput`."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise BadInput(f"{path}: cannot be read ({in_one_line(error)})") from error
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path}: is {'a folder' if stat.S_ISDIR(mode) else 'a device, pipe or socket'}; give a file")


def kind(path: str | Path) -> str:
    """What a file is by its first bytes; "" if they are HDF5's own."""
    with open(path, "rb") as handle:
        head = handle.read(1000)
    if head.startswith(_HDF5):
        return ""
    for start, name in _FOREIGN.items():
        if head.startswith(start):
            return name
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "a pickle"
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x3a", b"\x42"):  # IR version, then producer, graph or opset
        return "an ONNX file"
    text = head.decode(errors="ignore")
    if not text or len(text.encode()) < len(head) - 3:  # a character may be cut in two
        return "an empty file" if not head else "a file of an unknown kind"
    return "a text file" if text.isprintable() or (text.split() and "\0" not in text) else "a file of an unknown kind"


@functools.lru_cache(maxsize=64)
def check_heaps(path: str, modified: int) -> None:
    """Refuse damage that makes HDF5 2.0 loop for ever: texts whose stored sizes are wrong.

    Texts of any length lie in heaps. Each begins with a signature, version 1 and its size; in it lie objects, each
    after its number and size. Number 0 is free space, whose size takes in what stands before it.

    Args:
        path: the file.
        modified: when, so that a file is looked through once until it changes.

    Raises:
        BadInput: there is such damage.
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for start in [found.start() for found in re.finditer(_HEAP, content)]:  # several times faster than `find`
                place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
                while place + 16 <= min(end, len(content)):
                    number, size = struct.unpack_from("<H6xQ", content, place)
                    place += 16 + -(-size // 8) * 8 if number else size
                    if place > end or not (number or size):
                        raise BadInput(f"{path}: cannot be read (torn texts); it is damaged, fetch or write it again")


@contextmanager
def undamaged(path: str | Path, part: str = "") -> Iterator[None]:
    """Turn whatever h5py raises in the block into `BadInput`: `path`, or a part of it, is damaged.

    h5py raises every kind of exception, by where the damage is: OSError, RuntimeError, KeyError, ValueError, TypeError,
    UnicodeDecodeError, SystemError and more. So its exceptions are known by where they come from.
    """
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:
        places = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
        if not any(place.split(".")[0] == "h5py" for place in places):
            raise
        reason = in_one_line(error).strip("\"'").split("(", 1)[-1].rstrip(")")
        raise BadInput(
            f"{path}: {part}cannot be read ({reason}); it is damaged or truncated, fetch or write it again"
        ) from error

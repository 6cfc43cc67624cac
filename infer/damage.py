"""Why a file cannot be read as HDF5: it is missing, of another format, or damaged. One line for each."""

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
_WINDOW = 2**26  # bytes looked through at a time, a multiple of the memory's page
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FOREIGN = {  # the first bytes of other kinds of files
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
    b"{": "a JSON file",
    b"[": "a JSON file",
    b"<": "an XML or HTML file",
}


def check_regular(path: str | Path) -> None:
    """Refuse anything but a regular file before it is opened, as a pipe would block for ever; raises `BadInput`."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise BadInput(f"{path}: cannot be read ({in_one_line(error)})") from error
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path}: is {'a folder' if stat.S_ISDIR(mode) else 'a device, pipe or socket'}; give a file")


def kind(path: str | Path) -> str:
    """The kind of a file, by its first bytes; "" if it is HDF5."""
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

    Texts of any length lie in heaps. A heap begins with a signature, version 1 and its size; its objects follow, each
    after its number and size. Number 0 is free space, whose size includes these two.

    Args:
        path: the file.
        modified: when it was last written; a file is looked through once until it changes.

    Raises:
        BadInput: there is such damage.
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for start in _heaps(content):
                place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
                while place + 16 <= min(end, len(content)):
                    number, size = struct.unpack_from("<H6xQ", content, place)
                    place += 16 + -(-size // 8) * 8 if number else size
                    if place > end or not (number or size):
                        raise BadInput(f"{path}: cannot be read (torn texts); it is damaged, fetch or write it again")


def _heaps(content: mmap.mmap) -> Iterator[int]:
    """Where heaps begin; what was looked through no longer counts as this process's memory."""
    signature = re.compile(_HEAP)  # several times faster than `find`
    for first in range(0, len(content), _WINDOW):
        yield from [found.start() for found in signature.finditer(content, first, first + _WINDOW + len(_HEAP) - 1)]
        content.madvise(mmap.MADV_DONTNEED, first, min(_WINDOW, len(content) - first))


@contextmanager
def undamaged(path: str | Path, part: str = "") -> Iterator[None]:
    """Turn any exception of h5py in the block into `BadInput`: `path`, or a part of it, is damaged.

    Depending on where the damage is, h5py raises OSError, RuntimeError, KeyError, ValueError, TypeError,
    UnicodeDecodeError, SystemError and more. So an exception is taken for h5py's if h5py is in its traceback.
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

"""The metadata of an exported file, where neither onnx nor ONNX Runtime is installed.

An ONNX file is one protobuf message, and its metadata are the fields number 14 of that: a key and a value each.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sideband.infer import metadata
from sideband.infer.errors import BadInput

METADATA_PROPS, KEY, VALUE = 14, 1, 2  # numbers of fields, in ModelProto and StringStringEntryProto
NUMBER, BYTES = 0, 2  # the kinds of fields that these messages have


def read(path: Path) -> dict[str, Any]:
    """The metadata of an exported file, checked; raises `BadInput` where it is damaged."""
    try:
        entries = [dict(_fields(entry)) for number, entry in _fields(path.read_bytes()) if number == METADATA_PROPS]
        found = {bytes(entry[KEY]).decode(): bytes(entry.get(VALUE, b"")).decode() for entry in entries}
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: no whole ONNX file; export it again") from error
    return metadata.parse(found, path)


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field of a message; numbers are passed over."""
    rest = memoryview(message)
    while rest:
        tag, rest = _varint(rest)
        size, rest = _varint(rest)
        if tag & 7 == BYTES:
            if size > len(rest):
                raise IndexError
            yield tag >> 3, rest[:size]
            rest = rest[size:]
        elif tag & 7 != NUMBER:
            raise IndexError


def _varint(data: memoryview) -> tuple[int, memoryview]:
    """A number at the beginning of some bytes, seven bits a byte with the lowest first, and the bytes after it."""
    value = 0
    for place in range(10):
        value |= (data[place] & 127) << 7 * place
        if data[place] < 128:
            return value, data[place + 1 :]
    raise IndexError

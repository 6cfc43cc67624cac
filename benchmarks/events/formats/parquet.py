"""Parquet, read with pyarrow. The unit of a column may stand in its metadata as `unit`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sideband.benchmarks.events.formats import ROWS, Chunk, Place, check_names
from sideband.infer.errors import BadInput, in_one_line


class _File:
    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self.path, self.file = path, file
        self.units = {
            field.name: (field.metadata or {}).get(b"unit", b"").decode(errors="replace") for field in file.schema_arrow
        }

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        check_names(self.path, names, list(self.units))
        with _undamaged(self.path):
            for batch in self.file.iter_batches(batch_size=ROWS, columns=list(names)):
                yield {name: _values(self.path, name, batch.column(name)) for name in names}


def _values(path: Path, name: str, column: pa.Array) -> Any:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        import awkward as ak

        return ak.from_arrow(column)
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise BadInput(f"{path}: column {name!r} holds {kind} values; events are made of numbers")
    if column.null_count:
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return column.to_numpy(zero_copy_only=False)


@contextmanager
def opened(path: Path, place: Place) -> Iterator[_File]:
    """The file's table; raises `BadInput`."""
    with _undamaged(path):
        file = pq.ParquetFile(path)
        reader = _File(path, file)
    with file:
        yield reader


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{path}: a damaged Parquet file ({in_one_line(error)}); fetch or write it again") from error

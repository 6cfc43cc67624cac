"""Columns of events side by side, and apart again; only numpy is needed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float32]]
ROW = "event_row"  # the column that says where an event stands in the files that it came from
SOURCE_ROW = "source_row"  # the column of a template that says where the event stands that each of its events began as


def joined(columns: Columns, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns side by side `[N, width]`; wide ones `[N, …]` are flattened."""
    return np.column_stack([flattened(columns[name]) for name in names])


def flattened(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A column with one axis for events and one for the numbers of an event `[N, width]`."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def split(values: NDArray[np.float32], widths: Mapping[str, int]) -> Columns:
    """A table `[N, width]` as columns by name: `[N]` each, and `[N, width]` for the wide ones."""
    parts = np.split(values, np.cumsum(list(widths.values()))[:-1], axis=1)
    return {name: part if widths[name] > 1 else part[:, 0] for name, part in zip(widths, parts, strict=True)}

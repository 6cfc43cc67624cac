"""Columns of events side by side, and apart again; numpy alone, for checks where nothing else is installed."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float32]]


def joined(columns: Columns, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns side by side `[N, width]`, wide ones with all their numbers."""
    return np.column_stack([columns[name] for name in names])


def split(values: NDArray[np.float32], widths: Mapping[str, int]) -> Columns:
    """A table `[N, width]` as columns by name: `[N]` each, wide ones `[N, their width]`."""
    parts = np.split(values, np.cumsum(list(widths.values()))[:-1], axis=1)
    return {name: part if widths[name] > 1 else part[:, 0] for name, part in zip(widths, parts, strict=True)}

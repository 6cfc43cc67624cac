"""Events as people have them in memory, as named columns of finite numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.infer import events
from sideband.infer.columns import Columns
from sideband.infer.errors import BadInput, in_one_line

ONE = "give one number an event, such as a sum over a jagged column or its first entry"


def mass_name(mass: Any) -> str:
    """The name of a pandas series, where it can be that of a column; "mass" for anything else."""
    name = getattr(mass, "name", None)
    return name if isinstance(name, str) and name and "/" not in name else "mass"


def named(features: Any, wanted: Sequence[str] = ()) -> dict[str, Any]:
    """The features by name, unchecked.

    Args:
        features: a data frame, an array of records, of numpy or awkward, or a mapping of columns `[N]`; or an array
            `[N, d]`, whose columns are called x0, x1, ….
        wanted: take these alone, in this order; an array must have as many columns, which get these names.

    Raises:
        BadInput: none of these, or a wanted feature is missing.
    """
    fields = _fields(features)
    if fields is None:
        table = _array(features, "features")
        if table.ndim != 2 or not table.shape[1]:
            raise BadInput(
                f"features: an array of shape {table.shape}; give one of shape [events, features], a data frame or a "
                "mapping of columns"
            )
        if wanted and table.shape[1] != len(wanted):
            raise BadInput(f"features: {table.shape[1]} columns; give {len(wanted)}, which are {', '.join(wanted)}")
        return dict(zip(wanted or [f"x{index}" for index in range(table.shape[1])], table.T, strict=True))
    found = {str(name): features[name] for name in fields}
    for name in found:
        if not name or "/" in name:
            raise BadInput(f"features: {name!r} is no name for a column; give it one, without '/'")
    missing = [name for name in wanted if name not in found]
    if missing or not found:
        raise BadInput(
            f"features: no column {missing[0]!r} there" if missing else "features: there are none; give some"
        )
    return {name: found[name] for name in wanted} if wanted else found


def mass_of(table: Any, name: str) -> Any:
    """The column of a table that is the mass; None where it has no such column, as an array has none."""
    return table[name] if name in (_fields(table) or ()) else None


def _fields(table: Any) -> list[Any] | None:
    """The names of a table's columns; None for an array, which has none, and for a series, which is one column."""
    fields = getattr(table, "fields", None) or getattr(getattr(table, "dtype", None), "names", None)
    if not fields and hasattr(table, "keys") and not hasattr(table, "to_frame"):
        fields = table.keys()
    return None if fields is None else list(fields)


def table(mass: Any, name: str, features: Mapping[str, Any]) -> Columns:
    """Columns `[N]` float32: the mass, under its name, and then the features.

    Raises:
        BadInput: as `checked`, or the mass is a feature too.
    """
    if name in features:
        raise BadInput(f"features: {name!r} is the mass, it cannot be a feature too; remove it")
    return checked({name: mass, **features})


def checked(columns: Mapping[str, Any]) -> Columns:
    """Columns `[N]` float32 of what should be events.

    Raises:
        BadInput: a column is no list of finite numbers, one an event; or they are of unequal lengths, or empty.
    """
    found = {name: _column(values, f"column {name!r}") for name, values in columns.items()}
    first = next(iter(found))
    for name, values in found.items():
        if len(values) != len(found[first]):
            raise BadInput(
                f"column {name!r}: {len(values)} events, and {first!r} has {len(found[first])}; give both of all events"
            )
    if not len(found[first]):
        raise BadInput(f"column {first!r}: there are no events; give some")
    return found


def _column(values: Any, what: str) -> NDArray[np.float32]:
    found = _array(values, what)
    if found.ndim != 1 or found.dtype.kind not in "fiub":
        raise BadInput(f"{what}: has the type {found.dtype} and the shape {found.shape}; {ONE}")
    numbers = events.as_float32(found)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        raise BadInput(
            f"{what}: {wrong.sum()} values are NaN or infinite in float32, the first that of event {wrong.argmax()}; "
            "remove these events, or give them a number"
        )
    return numbers


def _array(values: Any, what: str) -> NDArray[Any]:
    if np.ma.is_masked(values):
        raise BadInput(f"{what}: some values are missing; remove these events, or give them a number")
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # jagged lists, jagged or missing values of awkward arrays
        raise BadInput(f"{what}: not an array of numbers ({in_one_line(error)}); {ONE}") from error


def around(mass: NDArray[np.float32]) -> tuple[float, float]:
    """The smallest range that has every mass strictly inside."""
    ends = (mass.min(), -np.inf), (mass.max(), np.inf)
    low, high = (float(np.nextafter(end, np.float32(beyond))) for end, beyond in ends)
    return low, high

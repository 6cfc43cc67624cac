"""Settings: frozen dataclasses, filled from a suite's mappings with a clear line for every mistake."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from infer.errors import BadInput

S = TypeVar("S")


def settings_from(kind: type[S], given: Mapping[str, Any], where: str) -> S:
    """Fill the dataclass `kind` with `given` over its defaults.

    Args:
        kind: a dataclass; fields may be numbers, text, None, choices (`Literal`) or dataclasses.
        given: values by field name; a mapping for a nested dataclass changes only what it names.
        where: how messages call the place, "methods.cathode" say.

    Raises:
        BadInput: an unknown name or a value of the wrong type.
    """
    return _filled(kind, kind(), given, where)


def _filled(kind: type[S], base: S, given: Mapping[str, Any], where: str) -> S:
    hints = typing.get_type_hints(kind)
    changes = {}
    for key, value in given.items():
        if key not in hints:
            known = ", ".join(hints) or "none"
            raise BadInput(f"{where}: unknown setting '{key}'; there are: {known}")
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            changes[key] = _filled(typing.cast(type[Any], hints[key]), getattr(base, key), value, f"{where}.{key}")
        else:
            changes[key] = _checked(hints[key], value, f"{where}.{key}")
    return typing.cast(S, dataclasses.replace(typing.cast(Any, base), **changes))


def _checked(hint: Any, value: Any, where: str) -> Any:
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in choices:
            return value
        raise BadInput(f"{where}: '{value}'; choose one of {', '.join(map(str, choices))}")
    allowed = choices if origin in (Union, types.UnionType) else (hint,)
    if value is None and type(None) in allowed:
        return None
    for candidate in allowed:
        if candidate is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(candidate, type) and type(value) is candidate:
            return value
    names = " or ".join(getattr(candidate, "__name__", str(candidate)) for candidate in allowed)
    raise BadInput(f"{where}: {value!r} is not {names}")

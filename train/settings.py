"""Settings: frozen dataclasses, filled from the mappings of a suite, with one clear line for every mistake.

The type of every number states its range, so that no fit starts with a value that makes no sense.
"""

import dataclasses
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union

from sideband.infer.errors import BadInput

S = TypeVar("S")


@dataclass(frozen=True)
class Range:
    """The range of a number, stated in its type: `Annotated[int, Range(1, 10)]`.

    Args:
        least, most: the ends.
        above: whether the lower end is excluded.
        below: whether the upper end is excluded.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        low = self.least < value if self.above else self.least <= value
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """In words: "from 0 to below 1"."""
        low = f"above {self.least:.15g} and " if self.above else f"from {self.least:.15g} to "
        return low + ("below " if self.below else "up to " if self.above else "") + f"{self.most:.15g}"


Count = Annotated[int, Range(1, 10**9)]  # epochs, events
Width = Annotated[int, Range(1, 4096)]  # units of a layer
Depth = Annotated[int, Range(1, 64)]  # layers, blocks, transforms
Members = Annotated[int, Range(1, 1000)]  # models of an ensemble
Steps = Annotated[int, Range(2, 1000)]  # steps of a solver
Rate = Annotated[float, Range(0, 1, above=True)]  # learning rates
Share = Annotated[float, Range(0, 1, below=True)]  # shares of events, decays of averages
Positive = Annotated[float, Range(0, 1e9, above=True)]


def settings_from(kind: type[S], given: Mapping[str, Any], where: str) -> S:
    """Fill the dataclass `kind` with `given` over its defaults.

    Args:
        kind: a dataclass whose fields are numbers with a `Range`, texts, lists of texts (`tuple`), None, choices
            (`Literal`) or dataclasses. Its `__post_init__` raises ValueError for values that contradict each other.
        given: values by field name; a mapping for a nested dataclass changes only the fields it names.
        where: the place for messages, such as "methods.cathode".

    Raises:
        BadInput: an unknown name, a value of the wrong type or out of range, or values that contradict each other.
    """
    return _filled(kind, kind(), given, where)


def _filled(kind: type[S], base: S, given: Any, where: str) -> S:
    hints = typing.get_type_hints(kind, include_extras=True)
    known = ", ".join(hints) or "none"
    if not isinstance(given, Mapping):
        raise BadInput(f"{where}: {_shown(given)} is not a mapping of settings; there are: {known}")
    changes = {}
    for key, value in given.items():
        if key not in hints:
            raise BadInput(f"{where}: unknown setting {_shown(key)}; there are: {known}")
        if dataclasses.is_dataclass(hints[key]):
            changes[key] = _filled(typing.cast(type[Any], hints[key]), getattr(base, key), value, f"{where}.{key}")
        else:
            changes[key] = _checked(hints[key], value, f"{where}.{key}")
    try:
        return typing.cast(S, dataclasses.replace(typing.cast(Any, base), **changes))
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from error


def _checked(hint: Any, value: Any, where: str) -> Any:
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if isinstance(value, str) and value in choices:
            return value
        raise BadInput(f"{where}: {_shown(value)}; choose one of {', '.join(map(str, choices))}")
    if origin is tuple:
        names = (value,) if isinstance(value, str) else value
        if isinstance(names, list | tuple) and all(isinstance(each, str) for each in names):
            return tuple(names)
        raise BadInput(f"{where}: {_shown(value)} is neither a name nor a list of names")
    allowed = choices if origin in (Union, types.UnionType) else (hint,)
    if value is None and type(None) in allowed:
        return None
    for candidate in allowed:
        kind, limits = number(candidate)
        # A whole number may stand for a float, but true and false are no numbers.
        if type(value) is kind or (kind is float and type(value) is int):
            if limits is None:
                return value
            if value in limits:
                return kind(value)
    raise BadInput(f"{where}: {_shown(value)} is not {' or '.join(map(_named, allowed))}")


def number(hint: Any) -> tuple[Any, Range | None]:
    """The type in a hint, and for a number its range.

    Raises:
        TypeError: a number without a range, a mistake in the class of the settings.
    """
    kind, *notes = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    limits = next((note for note in notes if isinstance(note, Range)), None)
    if limits is None and kind in (int, float):
        raise TypeError(f"{kind.__name__}: the type of a number in settings needs a Range")
    return kind, limits


def _named(hint: Any) -> str:
    """The name of a type in messages."""
    kind, limits = number(hint)
    names = {int: f"a whole number {limits}", float: f"a number {limits}", bool: "true or false", type(None): "null"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _shown(value: Any) -> str:
    """A value for a message, shortened."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to print whole numbers of more than 4,300 digits
        return "a number of thousands of digits"

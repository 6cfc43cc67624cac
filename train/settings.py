"""Settings: frozen dataclasses, filled from a suite's mappings with a clear line for every mistake.

Each number has its range in its type, so that no fit is started with one that makes no sense.
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
    """Where a number must lie, stated in its type: `Annotated[int, Range(1, 10)]`.

    Args:
        least, most: the ends, which belong to it.
        above, below: whether the lower end, or the upper one, does not.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        low = self.least < value if self.above else self.least <= value
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """As messages say it: "from 0 to below 1"."""
        low = f"above {self.least:.15g} and " if self.above else f"from {self.least:.15g} to "
        return low + ("below " if self.below else "up to " if self.above else "") + f"{self.most:.15g}"


Count = Annotated[int, Range(1, 10**9)]  # epochs, events
Width = Annotated[int, Range(1, 4096)]  # of a layer
Depth = Annotated[int, Range(1, 64)]  # layers, blocks, transforms
Members = Annotated[int, Range(1, 1000)]  # of an ensemble
Steps = Annotated[int, Range(2, 1000)]  # of a solver
Rate = Annotated[float, Range(0, 1, above=True)]  # of learning
Share = Annotated[float, Range(0, 1, below=True)]  # of events, or how much an average keeps of what was
Positive = Annotated[float, Range(0, 1e9, above=True)]


def settings_from(kind: type[S], given: Mapping[str, Any], where: str) -> S:
    """Fill the dataclass `kind` with `given` over its defaults.

    Args:
        kind: a dataclass; fields may be numbers with a `Range`, text, None, choices (`Literal`) or dataclasses. What
            its settings must be together, its `__post_init__` says by a ValueError.
        given: values by field name; a mapping for a nested dataclass changes only what it names.
        where: how messages call the place, "methods.cathode" say.

    Raises:
        BadInput: an unknown name, a value of the wrong type or out of its range, or values that do not go together.
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
    allowed = choices if origin in (Union, types.UnionType) else (hint,)
    if value is None and type(None) in allowed:
        return None
    for candidate in allowed:
        kind, limits = number(candidate)
        # Whole numbers will do for others; true and false are none.
        if type(value) is kind or (kind is float and type(value) is int):
            if limits is None:
                return value
            if value in limits:
                return kind(value)
    raise BadInput(f"{where}: {_shown(value)} is not {' or '.join(map(_named, allowed))}")


def number(hint: Any) -> tuple[Any, Range | None]:
    """The type in a hint, and the range in it if it is a number's.

    Raises:
        TypeError: a number without a range, which whoever wrote the settings has forgotten.
    """
    kind, *notes = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    limits = next((note for note in notes if isinstance(note, Range)), None)
    if limits is None and kind in (int, float):
        raise TypeError(f"{kind.__name__}: a number among settings needs a Range in its type")
    return kind, limits


def _named(hint: Any) -> str:
    """What messages call a type."""
    kind, limits = number(hint)
    names = {int: f"a whole number {limits}", float: f"a number {limits}", bool: "true or false", type(None): "null"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _shown(value: Any) -> str:
    """A value in a message, short."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number of thousands of digits"

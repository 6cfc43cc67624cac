"""How each input of a template's graph is drawn, as the file's metadata says it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .errors import BadInput

REGIONS = ("all", "sidebands", "signal region")
Range = tuple[float, float]


@dataclass(frozen=True)
class Noise:
    """Standard normal numbers."""


@dataclass(frozen=True)
class Target:
    """The masses that a task asks for, one after the other."""


@dataclass(frozen=True)
class Rows:
    """Columns of events. Inputs that draw from equally many events get the same rows of them.

    Args:
        group: the group that holds the columns: "data" or "simulation" of a task, or one of `file`.
        region: which of the events: "all" of them, or those in the "sidebands" or the "signal region" of the task.
        order: "random" draws with replacement; "turn" takes one row after the other, and then starts again.
        file: the file beside the graph that holds the group; "" where it is the task.
    """

    group: str
    region: Literal["all", "sidebands", "signal region"] = "all"
    order: Literal["random", "turn"] = "random"
    file: str = ""


@dataclass(frozen=True)
class Constant:
    """The same mass for every event, at a distance from an edge of the window.

    Args:
        edge: the edge of the window that it lies beyond.
        margin: how far beyond, as a share of the window's width.
    """

    edge: Literal["low", "high"]
    margin: float

    def value(self, window: Range, mass_range: Range) -> float:
        """The mass for a window, in the mass unit.

        Raises:
            BadInput: it would lie inside the window or outside the data.

        >>> round(Constant("low", 0.25).value((3.3, 3.7), (2.3, 5.0)), 6)
        3.2
        """
        low, high = window
        beyond = self.margin * (high - low)
        if beyond <= 0:
            raise BadInput(
                f"anchor_margin {self.margin:g}: the anchors must lie outside the window {low:g}-{high:g}; choose > 0"
            )
        if low - beyond < mass_range[0] or high + beyond > mass_range[1]:
            raise BadInput(
                f"anchor_margin {self.margin:g}: the anchors {low - beyond:g} and {high + beyond:g} of the window "
                f"{low:g}-{high:g} lie outside the data, {mass_range[0]:g}-{mass_range[1]:g}; choose less"
            )
        return low - beyond if self.edge == "low" else high + beyond


Drawn = Noise | Target | Rows | Constant
KINDS: dict[str, type[Drawn]] = {"noise": Noise, "target": Target, "rows": Rows, "constant": Constant}


def described(drawn: Drawn) -> dict[str, Any]:
    """The JSON object that `parsed` reads back.

    >>> described(Target())
    {'kind': 'target'}
    >>> parsed(described(Rows("data", "sidebands")))
    Rows(group='data', region='sidebands', order='random', file='')
    """
    kind = next(name for name, each in KINDS.items() if isinstance(drawn, each))
    return {"kind": kind, **asdict(drawn)}


def parsed(entry: Any) -> Drawn | None:
    """How an input is drawn, from its JSON object; None where the object is not one of `described`."""
    if not isinstance(entry, dict) or entry.get("kind") not in KINDS:
        return None
    fields = {key: value for key, value in entry.items() if key != "kind"}
    try:
        drawn = KINDS[entry["kind"]](**fields)
    except TypeError:
        return None
    return drawn if _is_right(drawn) else None


def _is_right(drawn: Drawn) -> bool:
    if isinstance(drawn, Rows):
        names = [name for name in (drawn.group, drawn.file) if not isinstance(name, str) or {"/", "\0"} & set(name)]
        return not names and bool(drawn.group) and drawn.region in REGIONS and drawn.order in ("random", "turn")
    if isinstance(drawn, Constant):
        number = isinstance(drawn.margin, int | float) and not isinstance(drawn.margin, bool)
        return drawn.edge in ("low", "high") and number and math.isfinite(drawn.margin)
    return True

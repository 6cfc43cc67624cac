"""The entries of a suite's `methods`: which classifier each has, and which finished fits it stands on.

An entry is METHOD or METHOD@LABEL. A suite with further classifiers has each entry once more for each of them, as
ENTRY@CLASSIFIER: the same fit, taken over from the cell of ENTRY, with that classifier in place of the main one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sideband.benchmarks import catalogue
from sideband.infer.errors import BadInput


def of(given: Any) -> tuple[str, ...]:
    """The entries that a setting `of` names: one, or a list of them."""
    return (given,) if isinstance(given, str) else tuple(given)


def needs(entry: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The fits that an entry stands on: shared ones, and the cells of other methods that its setting `of` names."""
    method = catalogue.get(entry)
    return (*method.needs, *(of(settings.get("of", ())) if method.of else ()))


def base(entry: str, classifiers: Mapping[str, Any]) -> str:
    """The entry whose fit an entry with a further classifier takes over; "" for every other one.

    >>> base("cathode@mlp", {"mlp": {}}), base("drapes_sb@0.5", {"mlp": {}})
    ('cathode', '')
    """
    rest, _, label = entry.rpartition("@")
    return rest if rest and label in classifiers and trained(rest) else ""


def classifier(entry: str, main: Mapping[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
    """Changes to the defaults of an entry's classifier: those of the further one that its name ends in, or the main's.

    >>> classifier("cathode@mlp", {"members": 10}, {"mlp": {"kind": "mlp"}})
    {'kind': 'mlp'}
    """
    return dict(further[entry.rpartition("@")[2]] if base(entry, further) else main)


def trained(entry: str) -> bool:
    """Whether an entry has a classifier that is trained for it."""
    method = catalogue.get(entry)
    return not (method.own_score or method.shared or method.of == "classifier")


def expanded(methods: Mapping[str, Any], classifiers: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """The methods of a suite by entry, each followed by those that take over its fit.

    Args:
        methods: changes to the defaults, by entry.
        classifiers: the further classifiers, by label.
        path: the suite, for messages.

    Raises:
        BadInput: an unknown method, or an entry with a further classifier and settings of its own.

    >>> list(expanded({"cathode": None, "anode": {}}, {"mlp": {}}, Path()))
    ['cathode', 'cathode@mlp', 'anode']
    """
    found: dict[str, dict[str, Any]] = {}
    for entry, given in methods.items():
        taken = base(entry, classifiers)
        if not taken:
            found[entry] = given or {}
            found |= {f"{entry}@{label}": found[entry] for label in classifiers if trained(entry)}
        elif (given or {}) != (methods.get(taken) or {}) or taken not in methods:
            raise BadInput(f"{path}: methods.{entry}: takes over the fit of '{taken}'; give the settings there")
    return found

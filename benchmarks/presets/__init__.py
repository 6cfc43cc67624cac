"""Presets: settings of every fit, of the classifier and of timings at once, from a quick look to the papers' values."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sideband.benchmarks import catalogue, documents, entries

Content = dict[str, Any]

PRESETS = Path(__file__).parent
SECTIONS = ("methods", "shared", "classifier", "throughput")


def applied(content: Mapping[str, Any]) -> Content:
    """The sections of a suite with the settings of its preset in them; where the suite sets one itself, it wins.

    An entry METHOD@LABEL gets the settings of METHOD. The key `preset` is gone from the result: what a run keeps says
    how it was fitted, whatever becomes of the preset.

    Args:
        content: sections, valid by the schema.

    Raises:
        BadInput: an unknown method.
    """
    result = dict(content)
    preset = read(result.pop("preset", "paper"))
    methods = {entry: given or {} for entry, given in content["methods"].items()}
    shared = {fit: preset["shared"][fit] for fit in _needed(methods) if fit in preset["shared"]}
    own = {entry: preset["methods"].get(entry.partition("@")[0], {}) for entry in methods}
    classifier = preset["classifier"] if any(map(entries.trained, methods)) else {}
    settings = {**preset, "methods": own, "shared": shared, "classifier": classifier}
    return result | {section: _over(each, content.get(section, {})) for section, each in settings.items() if each}


def read(name: str) -> Content:
    """The sections of a preset: `methods`, `shared`, `classifier` and `throughput`."""
    return {**{section: {} for section in SECTIONS}, **(documents.read(PRESETS / f"{name}.yaml") or {})}


def _needed(fits: Iterable[str]) -> list[str]:
    """The shared fits that others stand on, themselves or through others, each once."""
    needs = [need for each in fits for need in catalogue.get(each).needs]
    return list(dict.fromkeys([*needs, *(_needed(needs) if needs else [])]))


def _over(preset: Mapping[str, Any], given: Mapping[str, Any]) -> Content:
    """What is given over a preset, mapping by mapping; nothing given is an empty mapping."""
    merged = dict(preset)
    for key, value in given.items():
        below = preset.get(key)
        merged[key] = _over(below, value or {}) if isinstance(below, Mapping) else value
    return merged

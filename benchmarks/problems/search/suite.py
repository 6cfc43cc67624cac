"""What a suite of a search may say, and the places in its grid."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import hdf5, sources
from sideband.benchmarks.events.task import Range, window_name
from sideband.benchmarks.problems.search.draw import BACKGROUND_SPLIT, Recipe
from sideband.infer import events
from sideband.infer.errors import BadInput

if TYPE_CHECKING:
    from sideband.benchmarks.grid.suite import Suite

T = TypeVar("T")

NEEDED = ("mass_range", "windows")
KEYS = (*NEEDED, "injections", "validation_windows", "background_seeds", "excess", "data_events", "studies")
RESERVED = ("label", "weight")  # columns of the layout that are neither mass nor features


def windows(suite: "Suite") -> dict[str, Range | None]:
    """Every window by name, validation windows too."""
    both = [*suite["windows"], *suite["validation_windows"]]
    return {window_name(window): (window[0], window[1]) for window in both}


def recipe(suite: "Suite", window: str, injection: str, seed: str) -> Recipe:
    """How the task of a place in the grid is drawn; raises `BadInput` if there is no such place."""
    edges = _named(suite, "window", window, suite.windows())
    number = _named(suite, "injection", injection, suite.injections())
    chosen = _named(suite, "seed", seed, suite.seeds(injection))
    assert edges is not None
    main = suite["windows"][0]
    low, high = suite["mass_range"]
    return Recipe(
        mass_range=(low, high),
        window=edges,
        injection=number,
        seed=chosen,
        masked=(main[0], main[1]) if list(edges) in suite["validation_windows"] else None,
        data_events=suite.content.get("data_events"),
        oversampling=suite["oversampling"],
    )


def check(suite: "Suite", path: Path) -> None:
    """Refuse sections that do not fit each other."""
    for key in NEEDED:
        if key not in suite.content:
            raise BadInput(f"{path}: the suite: '{key}' is missing; `benchmarks/suites/schema.json` lists every key")
    section = suite["dataset"]
    if not suite.labelled and (section["source"] == "dijets" or "signal" in section):
        raise BadInput(
            f"{path}: 'injections' is missing; signal that comes apart from the data is not in them until injected"
        )
    for name in [section.get("mass", {}).get("column"), *section.get("features", [])]:
        if name in RESERVED:
            raise BadInput(
                f"{path}: dataset: '{name}' is no name for a mass or a feature; events files call another column so"
            )
    _check_windows(suite, path)
    _check_studies(suite, path)


def _check_windows(suite: "Suite", path: Path) -> None:
    low, high = suite["mass_range"]
    if not low < high:
        raise BadInput(f"{path}: mass_range {[low, high]}: the lower edge comes first")
    seen = set()
    for window in [*suite["windows"], *suite["validation_windows"]]:
        if not low < window[0] < window[1] < high:
            raise BadInput(f"{path}: window {window} does not lie inside mass_range {[low, high]}")
        edges = (np.float32(window[0]), np.float32(window[1]))  # masses are compared with them in this precision
        if edges in seen:
            raise BadInput(f"{path}: window {window} is there twice; remove one")
        seen.add(edges)
    for window in suite["validation_windows"]:
        for region in suite["windows"]:
            if max(window[0], region[0]) < min(window[1], region[1]):
                raise BadInput(
                    f"{path}: validation window {window} overlaps the signal region {region}, where the data are not "
                    "background alone; move it"
                )


def _check_studies(suite: "Suite", path: Path) -> None:
    """Refuse studies of one value alone: there is nothing to compare."""
    numbers = {"injections": sum(map(bool, suite.injections().values())), "windows": len(suite.windows())}
    for index, study in enumerate(suite.studies):
        if numbers.get(study.vary, 2) < 2:
            raise BadInput(
                f"{path}: studies.{index}: varies {study.vary}, and the suite has one; add some, or remove it"
            )


def with_sample(suite: "Suite", folder: Path) -> dict[str, Any]:
    """The sections with the dijets of a folder in place of the embedded ones, and no more data than there are.

    Methods that read simulation are left out if the folder has none.

    Raises:
        BadInput: data or signal are missing in the folder.
    """
    parts = {part: str(folder / f"{part}.h5") for part in sources.PARTS if (folder / f"{part}.h5").is_file()}
    for part in ("data", "signal"):
        if part not in parts:
            raise BadInput(f"--events {folder}: no {part}.h5 there; `python -m benchmarks generate sample` makes it")
    own = {"source": "hdf5", **parts, **hdf5.dijets(suite["dataset"]), "description": f"events of {folder.name}"}
    with events.opened(parts["data"]) as file:
        there = events.count(file, ["m_jj"], parts["data"])
    there = there if "background" in parts else int(there * BACKGROUND_SPLIT["data"])
    asked = suite.content.get("data_events", there)
    if asked > there:
        print(f"{folder.name}: {there:,} events for the data, where {suite.name} would draw {asked:,}; all are used")
    methods = {
        name: given
        for name, given in suite["methods"].items()
        if "simulation" in parts or "simulation" not in catalogue.get(name).events
    }
    left_out = [name for name in suite["methods"] if name not in methods]
    if left_out:
        print(f"{folder.name}: no simulation.h5 there, which {', '.join(left_out)} would need; they are left out")
    return {**suite.content, "dataset": own, "data_events": min(asked, there), "methods": methods}


def _named(suite: "Suite", what: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise BadInput(f"{what} '{name}': not in suite {suite.name}; there are: {', '.join(known)}")
    return known[name]

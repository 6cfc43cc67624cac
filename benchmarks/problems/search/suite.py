"""What a suite of a search may say, and the places in its grid."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import changes, layout, sources
from sideband.benchmarks.events.own import dijets
from sideband.benchmarks.events.task import Range, seed_name, window_name
from sideband.benchmarks.problems.search.draw import BACKGROUND_SPLIT, Recipe
from sideband.infer import events
from sideband.infer.called import called
from sideband.infer.columns import ROW, SOURCE_ROW
from sideband.infer.errors import BadInput

if TYPE_CHECKING:
    from sideband.benchmarks.grid.suite import Cell, Suite

T = TypeVar("T")

NEEDED = ("mass_range", "windows")
VALIDATION = ("validation_windows", "validation_seeds")
KEYS = (*NEEDED, *VALIDATION, "tasks", "injections", "background_seeds", "excess", "data_events", "studies")
RESERVED = (*layout.APART, ROW, SOURCE_ROW)  # columns of the layout that are neither mass nor features
SCORED = ("file", "row", "score")  # columns that stand beside the mass in the files of `sideband scores`


def windows(suite: "Suite") -> dict[str, Range | None]:
    """Every window by name, validation windows too; named tasks have one each."""
    named = suite.content.get("tasks", {})
    if named:
        chosen = {name: own.get("window", suite["windows"][0]) for name, own in named.items()}
        return {name: (window[0], window[1]) for name, window in chosen.items()}
    both = [*suite["windows"], *suite["validation_windows"]]
    return {window_name(window): (window[0], window[1]) for window in both}


def validation(suite: "Suite") -> list[str]:
    """The names of validation windows."""
    return [window_name((window[0], window[1])) for window in suite["validation_windows"]]


def regions(suite: "Suite") -> list[str]:
    """The names of signal regions: all windows but those for validation."""
    return [name for name in windows(suite) if name not in validation(suite)]


def injections(suite: "Suite") -> list[int | None]:
    """Every injection, of named tasks too; None for events taken as they are."""
    whole = suite.content.get("injections", [None])
    lists = [own.get("injections", whole) for own in suite.content.get("tasks", {}).values()] or [whole]
    return list(dict.fromkeys(number for each in lists for number in each))


def holds(suite: "Suite", cell: "Cell") -> bool:
    """Whether the grid has a cell; in validation windows: models of background or signal, and validation seeds."""
    if cell.injection not in suite.at(cell.window).injections():
        return False
    if cell.window not in validation(suite):
        return True
    seeds = [seed_name(seed) for seed in suite.content.get("validation_seeds", [])]
    makers = [name for name in suite["methods"] if {"template", "signal"} & {*catalogue.get(name).roles}]
    fits = set(makers).union(*map(suite.stands_on, makers))
    return cell.method in fits and (not seeds or cell.seed in seeds)


def recipe(suite: "Suite", window: str, injection: str, seed: str) -> Recipe:
    """How the task of a place in the grid is drawn; raises `BadInput` if there is no such place."""
    edges = _named(suite, "window", window, suite.windows())
    suite = suite.at(window)
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


def recipes(suite: "Suite") -> Iterator[Recipe]:
    """How the tasks of a suite without named ones are drawn, one seed of each: the others' events are as many."""
    for window in windows(suite):
        for injection in suite.injections():
            yield recipe(suite, window, injection, next(iter(suite.seeds(injection))))


def check(suite: "Suite", path: Path) -> None:
    """Refuse sections that do not fit each other."""
    for key in NEEDED:
        if key not in suite.content:
            raise BadInput(f"{path}: the suite: '{key}' is missing; `benchmarks/suites/schema.json` lists every key")
    for name in suite.content.get("tasks", {}):
        _check_events(suite.at(name), f"{path}: tasks.{name}")
        _check_windows(suite.at(name), f"{path}: tasks.{name}")
    if not suite.content.get("tasks"):
        _check_events(suite, str(path))
        _check_windows(suite, str(path))
    _check_studies(suite, path)


def _check_events(suite: "Suite", path: str) -> None:
    section = suite["dataset"]
    if not suite.labelled and (section["source"] in sources.SHIPPED or "signal" in section):
        raise BadInput(
            f"{path}: 'injections' is missing; signal that comes apart from the data is not in them until injected"
        )
    for given in [section.get("mass", ""), *section.get("features", [])]:
        name = given if isinstance(given, str) else given["column"]
        if name in RESERVED:
            raise BadInput(
                f"{path}: dataset: '{name}' is no name for a mass or a feature; events files call another column so"
            )
    mass = section.get("mass", {}).get("column", "")
    if mass in SCORED:
        raise BadInput(
            f"{path}: dataset.mass: '{mass}' is no name for a mass, as files of scores call another column so; rename "
            f"it, as with expression: {mass}"
        )


def _check_windows(suite: "Suite", path: str) -> None:
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
    known = {seed for injection in suite.injections() for seed in suite.seeds(injection).values()}
    for seed in suite.content.get("validation_seeds", []):
        if seed not in known:
            raise BadInput(f"{path}: validation_seeds: {seed} is none of the suite's seeds; choose among them")
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
    numbers |= {"tasks": len(suite.content.get("tasks", {}))}
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
            raise BadInput(
                f"--events {folder}: no {part}.h5 there; `{called('benchmarks', 'generate sample')}` makes it"
            )
    with events.opened(parts["data"]) as file:
        there = events.count(file, ["m_jj"], parts["data"])
    there = there if "background" in parts else int(there * BACKGROUND_SPLIT["data"])
    asked = suite.content.get("data_events", there)
    if asked > there:
        print(f"{folder.name}: {there:,} events for the data, where {suite.name} would draw {asked:,}; all are used")
    methods: dict[str, Any] = {}
    for name, given in suite["methods"].items():
        has_events = "simulation" in parts or "simulation" not in catalogue.get(name).events
        if has_events and all(need in methods or catalogue.get(need).shared for need in suite.needs(name)):
            methods[name] = given
    left_out = [name for name in suite["methods"] if name not in methods]
    if left_out:
        print(f"{folder.name}: no simulation.h5 there, which {', '.join(left_out)} would need; they are left out")
    found = {"data_events": min(asked, there), "methods": methods}
    if "tasks" in suite.content:
        found["tasks"] = _tasks_with_sample(suite, parts, folder, there)
    return {**suite.content, "dataset": _of_sample(suite["dataset"], parts, folder), **found}


def _of_sample(section: Mapping[str, Any], parts: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """A section of embedded dijets with a sample's files, its features and its changes the same."""
    kept = {key: section[key] for key in changes.KEYS if key in section}
    return {"source": "events", **parts, **dijets(section), **kept, "description": f"events of {folder.name}"}


def _tasks_with_sample(suite: "Suite", parts: Mapping[str, str], folder: Path, there: int) -> dict[str, Any]:
    """The named tasks on a sample; those of muon pairs as they are, without those of other embedded signals."""
    found = {}
    for name, own in suite["tasks"].items():
        section = own["dataset"]
        if section["source"] != "dijets":
            found[name] = own
        elif "resonance" in section or "shower" in section:
            print(f"{folder.name}: {name} is left out; it is of another signal or simulation than a sample has")
        else:
            found[name] = {**own, "dataset": _of_sample(section, parts, folder)}
            if "data_events" in own:
                found[name]["data_events"] = min(own["data_events"], there)
    return found


def _named(suite: "Suite", what: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise BadInput(f"{what} '{name}': not in suite {suite.name}; there are: {', '.join(known)}")
    return known[name]

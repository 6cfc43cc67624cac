"""Named tasks of a suite: each takes the place of a window in the grid, with events, masses and sizes of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sideband.benchmarks.events import sources
from sideband.infer.errors import BadInput

Content = dict[str, Any]

OWN = ("dataset", "mass_range", "injections", "data_events")  # what a task may have of its own, beside its window


def completed(content: Content, path: Path, base: Path, check: Callable[[Content], None]) -> Content:
    """The sections, with the whole section of events in every task.

    A task's section of events adds to the suite's, unless it names another source.

    Args:
        content: the suite's sections.
        path: the suite, for messages.
        base: the folder that relative paths start from.
        check: refuses sections that no suite may have.

    Raises:
        BadInput: tasks without injections or beside several windows, or sections that no suite may have.
    """
    if not content.get("tasks"):
        return content
    if len(content.get("windows", [])) != 1 or content.get("validation_windows"):
        raise BadInput(f"{path}: tasks: each has one window, its own or the suite's only one; remove the other windows")
    if "injections" not in content:
        raise BadInput(f"{path}: injections: missing; tasks are compared by what is found of an injected signal")
    tasks = {}
    for name, own in content["tasks"].items():
        theirs, section = content["dataset"], sources.absolute((own or {}).get("dataset", {}), base)
        same = section.get("source", theirs["source"]) == theirs["source"]
        tasks[name] = {**(own or {}), "dataset": {**theirs, **section} if same else section}
    content = {**content, "tasks": tasks}
    for name in tasks:
        try:
            check(alone(content, name))
        except BadInput as error:
            raise BadInput(str(error).replace(f"{path}: ", f"{path}: tasks.{name}: ", 1)) from error
    return content


def alone(content: Mapping[str, Any], name: str) -> Content:
    """The sections of a suite that has one of its tasks alone; `data_events` are of the suite's own source."""
    own = content["tasks"][name]
    window = own.get("window", content["windows"][0])
    if own["dataset"]["source"] != content["dataset"]["source"]:
        content = {key: each for key, each in content.items() if key != "data_events"}
    return {**content, **{key: own[key] for key in OWN if key in own}, "windows": [window], "tasks": {name: own}}


def without_events(content: Mapping[str, Any]) -> Content:
    """The sections without where the events of tasks come from, to compare two suites by."""
    tasks = {
        name: {key: each for key, each in own.items() if key != "dataset"}
        for name, own in content.get("tasks", {}).items()
    }
    return {**content, **({"tasks": tasks} if tasks else {})}

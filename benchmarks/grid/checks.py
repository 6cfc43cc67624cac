"""What a suite may say: the schema, and what no schema can express."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from sideband.benchmarks import catalogue, entries, problems
from sideband.benchmarks.catalogue import Method
from sideband.benchmarks.events import sources
from sideband.benchmarks.grid import study
from sideband.infer.errors import BadInput

if TYPE_CHECKING:
    from sideband.benchmarks.grid.suite import Suite

STORE = "mlflow"  # the folder beside those of suites
LONGEST_NAME = 100  # bytes; it names a folder, with a sample's name at its end


def _whole(checker: Any, value: Any) -> bool:
    """JSON's schema takes 20.0 for a whole number; Python and YAML do not."""
    return isinstance(value, int) and not isinstance(value, bool)


# The first error ends the check, so a list that is too long, or of mixed kinds, is never searched for equal items.
_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _whole),
)


def check_keys(content: Any, path: Path, schema: Path) -> None:
    """Raise `BadInput` for the first key or value that the schema refuses."""
    error = next(_Validator(json.loads(schema.read_text())).iter_errors(content), None)
    if error is None:
        return
    while error.context:  # of the forms that a value may have, what is wrong with the one that it seems meant to be
        error = next((each for each in error.context if each.validator != "type"), error.context[0])
    place = ".".join(str(step) for step in error.absolute_path) or "the suite"
    if place == "dataset.source":
        sources = ", ".join(source for each in problems.all_problems().values() for source in each.sources)
        raise BadInput(f"{path}: dataset.source is '{error.instance}'; choose one of {sources}")
    what = " ".join(error.message.split())
    what = what if len(what) <= 300 else f"{what[:200]} … {what[-80:]}"
    raise BadInput(f"{path}: {place}: {what}; `benchmarks/suites/schema.json` lists every key")


def check_sense(suite: "Suite", path: Path) -> None:
    """Raise `BadInput` for sections that do not fit each other."""
    _check_name(suite.name, path)
    _check_problem(suite, path)
    for name in suite["methods"]:
        _check_method(suite, name, catalogue.get(name), path)
    for name in suite["shared"]:
        if not catalogue.get(name).shared:
            raise BadInput(f"{path}: shared.{name}: a method, not a shared fit; its settings go to 'methods'")
    suite.problem.check(suite, path)
    study.check(suite.content, path)


def _check_name(name: str, path: Path) -> None:
    """A suite's name is that of a folder beside others, and of an experiment."""
    if name == STORE or not re.fullmatch(r"[^-./\0-\x1f\x7f][^/\0-\x1f\x7f]*", name):
        raise BadInput(
            f"{path}: '{name}' cannot name a suite: not '{STORE}', no '.' or '-' at the beginning, no control "
            "characters; rename the file"
        )
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise BadInput(f"{path}: a suite's name has at most {LONGEST_NAME} bytes; rename the file")


def _check_problem(suite: "Suite", path: Path) -> None:
    """Events must suit the problem, and keys of other problems must be absent."""
    problem = suite.problem
    for source in [suite["dataset"]["source"], *(section["source"] for section in suite.datasets())]:
        if source not in problem.sources:
            raise BadInput(
                f"{path}: problem: '{problems.of(suite.content)}' needs events from {' or '.join(problem.sources)}, "
                f"and dataset.source is '{source}'; change one of them"
            )
    for other in problems.all_problems().values():
        for key in other.keys:
            if key not in problem.keys and suite.content.get(key):
                raise BadInput(
                    f"{path}: {key}: a key for {other.events}, and the suite's events are {problem.events}; remove it"
                )


def _check_method(suite: "Suite", name: str, entry: Method, path: Path) -> None:
    place, events = f"{path}: methods.{name}", suite.problem.events
    if problems.named(entry.problem) is not suite.problem:
        raise BadInput(
            f"{place}: a method for {problems.named(entry.problem).events}, and the suite's events are {events}; "
            "remove it"
        )
    if entry.shared:
        raise BadInput(f"{place}: a fit that methods share, not a method; its settings go to 'shared'")
    if entry.truth and not suite.labelled:
        raise BadInput(f"{place}: a reference that reads the truth; without 'injections' there is none")
    if entry.of:
        _check_of(suite, name, entry, f"{place}.of")
    if "simulation" in entry.events and not all(map(_has_simulation, suite.datasets())):
        raise BadInput(f"{place}: needs simulated background; give it as dataset.simulation, or remove the method")


def _check_of(suite: "Suite", name: str, entry: Method, place: str) -> None:
    """What an entry stands on must stand above it, so that nothing stands on itself, and have what it needs."""
    given = suite.settings(name).get("of", [])
    if not isinstance(given, str | list) or not given or not all(isinstance(each, str) for each in given):
        raise BadInput(f"{place}: must name other methods of the suite, such as [cathode, transit]; give some")
    above = list(suite["methods"])[: list(suite["methods"]).index(name)]
    for each in entries.of(given):
        if each not in above:
            raise BadInput(f"{place}: '{each}' is no method above it in the suite; add it there, or remove it here")
        other = catalogue.get(each)
        if entry.of == "template" and "template" not in other.roles:
            raise BadInput(f"{place}: '{each}' makes no template; remove it")
        if entry.of == "classifier" and (other.own_score or other.truth):
            raise BadInput(f"{place}: '{each}' has no classifier of data against a template; remove it")


def _has_simulation(section: Mapping[str, Any]) -> bool:
    return section["source"] in sources.SHIPPED or "simulation" in section

"""What fits read of a suite: settings of methods and shared fits, the classifier, its folds, and the device.

Whether the sections suit each other and the data is for whoever plans the grid to check.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from sideband import benchmarks
from sideband.benchmarks import catalogue, documents, entries, presets
from sideband.infer.errors import BadInput

SUITES = Path(benchmarks.__path__[0]) / "suites"
SECTIONS = ("methods", "shared")
LONGEST = 300  # characters of what jsonschema says of a mistake


@dataclass(frozen=True)
class Suite:
    """The sections of a suite that concern fits.

    Args:
        name: names the experiment.
        methods, shared: changes to the defaults of each method and of each shared fit, by name.
        classifier: changes to the defaults of the main classifier.
        classifiers: those of the further ones, by label.
        folds: folds of the cross-fit, 0 for none.
        device: "cpu" or "cuda".
    """

    name: str
    methods: dict[str, dict[str, Any]]
    shared: dict[str, dict[str, Any]]
    classifier: dict[str, Any]
    classifiers: dict[str, dict[str, Any]]
    folds: int
    device: str

    def settings(self, method: str) -> dict[str, Any]:
        """Changes to the defaults of a method or shared fit, none where the suite does not name it."""
        return (self.shared if catalogue.get(method).shared else self.methods).get(method, {})

    def classifier_of(self, method: str) -> dict[str, Any]:
        """Changes to the defaults of a method's classifier."""
        return entries.classifier(method, self.classifier, self.classifiers)

    def fits(self) -> Iterator[tuple[str, str]]:
        """Section and name of every fit: those the suite names, and the shared ones that its methods need."""
        needed = {name for method in self.methods for name in catalogue.get(method).needs}
        yield from (("shared", name) for name in sorted({*needed, *self.shared}))
        yield from (("methods", name) for name in self.methods)


def load(suite: str | Path) -> Suite:
    """Read a shipped suite by its name, a suite in YAML, or the suite.json of a run.

    Raises:
        BadInput: no such suite, a key or a value that no suite has, or an unknown method.
    """
    shipped = sorted(path.stem for path in SUITES.glob("*.yaml"))
    path = SUITES / f"{suite}.yaml" if str(suite) in shipped else Path(suite)
    if not os.path.isfile(path):
        raise BadInput(f"suite '{suite}': no such file, and none of {', '.join(shipped)}")
    name, content = path.stem, documents.read(path)
    if path.suffix == ".json" and isinstance(content, dict) and "resolved" in content:
        name, content = content.get("name", ""), content["resolved"]
        if not isinstance(name, str) or not name:
            raise BadInput(f"{path}: name: must be text; remove the file, and run the suite again")
    keys = _checked(content, path)["properties"]
    content = presets.applied(content)
    methods, shared = ({each: given or {} for each, given in content.get(key, {}).items()} for key in SECTIONS)
    classifiers = content.get("classifiers", {})
    methods = entries.expanded(methods, classifiers, path)
    _check_sections(methods, shared, path)
    folds = keys["excess"]["properties"]["folds"]["default"]
    folds = int(content["excess"].get("folds", folds)) if "excess" in content else 0
    device = content.get("device", keys["device"]["default"])
    return Suite(name, methods, shared, content.get("classifier", {}), classifiers, folds, device)


def _checked(content: Any, path: Path) -> Any:
    """The schema of suites, after a check of `content`; raises `BadInput` for the first mistake."""
    schema = json.loads((SUITES / "schema.json").read_text())
    error = next(jsonschema.Draft202012Validator(schema).iter_errors(content), None)
    if error is not None:
        place = ".".join(str(step) for step in error.absolute_path) or "the suite"
        problem = " ".join(error.message.split())
        problem = problem if len(problem) <= LONGEST else f"{problem[:200]} … {problem[-80:]}"
        raise BadInput(f"{path}: {place}: {problem}; `benchmarks/suites/schema.json` lists every key")
    return schema


def _check_sections(methods: dict[str, Any], shared: dict[str, Any], path: Path) -> None:
    for name in methods:
        if catalogue.get(name).shared:
            raise BadInput(f"{path}: methods.{name}: a shared fit, not a method; move its settings to 'shared'")
    for name in shared:
        if not catalogue.get(name).shared:
            raise BadInput(f"{path}: shared.{name}: a method, not a shared fit; move its settings to 'methods'")

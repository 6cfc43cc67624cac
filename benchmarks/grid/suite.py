"""Suites: what one run of the benchmark covers, read from YAML and checked before anything is computed."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sideband.benchmarks import catalogue, documents, entries, presets, problems
from sideband.benchmarks.events import sources, tables
from sideband.benchmarks.events.task import Range, seed_name
from sideband.benchmarks.grid import study as studies
from sideband.benchmarks.grid import tasks
from sideband.benchmarks.grid.checks import check_keys, check_sense
from sideband.benchmarks.problems import Problem
from sideband.infer import events
from sideband.infer.errors import BadInput

SUITES = Path(__file__).parents[1] / "suites"

DEFAULTS: dict[str, Any] = {
    "oversampling": 4,
    "device": "cpu",
    "validation_windows": [],
    "studies": [],
    "shared": {},
    "classifier": {},
    "classifiers": {},
    "throughput": {},
    "budget": {},
}
THROUGHPUT = {
    "seconds": 2.0,
    "repeats": 10,
    "batches": [100, 1000, 10000],
    "file_events": 100_000,
    "roles": ["template", "score", "density"],
    "compile": False,
}
EXCESS = {"folds": 5, "efficiencies": [1e-2, 1e-3]}


@dataclass(frozen=True)
class Cell:
    """One place in the grid: a task and, within it, one method."""

    window: str
    injection: str
    seed: str
    method: str

    @property
    def task(self) -> str:
        """The task's folder, within the suite's."""
        return f"{self.window}/{self.injection}/{self.seed}"

    @property
    def folder(self) -> str:
        """The cell's folder, within the suite's."""
        return f"{self.task}/{self.method}"


@dataclass(frozen=True)
class Suite:
    """A suite, complete: every default is filled in and every path is absolute.

    Args:
        name: the file's stem; names folder and experiment.
        content: the sections, as in `suites/schema.json`.
        file: where it came from: a path, or the name alone of a suite that comes with Sideband.
    """

    name: str
    content: dict[str, Any]
    file: str = ""

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    @property
    def problem(self) -> Problem:
        """The problem that it poses."""
        return problems.named(problems.of(self.content))

    @property
    def labelled(self) -> bool:
        """Whether the truth is known."""
        return self.problem.labelled(self)

    @property
    def folds(self) -> int:
        """Folds of the cross-fit, 0 for none."""
        return int(self.content["excess"]["folds"]) if self.content.get("excess") else 0

    @property
    def studies(self) -> list[studies.Study]:
        """What it varies beside the method."""
        return studies.read(self.content)

    def set_apart(self) -> set[str]:
        """The entries that vary a setting: a study shows them, and they would crowd the rest of the report."""
        lines = [study.entries(self["methods"]) for study in self.studies]
        return {name for line in lines for values in line.values() for name in values}

    @cached_property
    def dataset_sha256(self) -> str:
        """The digest of the data, wherever they lie, and of what the suite says of them."""
        digests = [sources.identity(section, Path()) for section in self.datasets()]
        return hashlib.sha256(repr(digests).encode()).hexdigest() if len(digests) > 1 else digests[0]

    def datasets(self) -> list[dict[str, Any]]:
        """Every section of events: that of each named task, or the suite's own."""
        return [own["dataset"] for own in self.content.get("tasks", {}).values()] or [self["dataset"]]

    def at(self, window: str) -> "Suite":
        """The suite with one of its named tasks alone; the suite itself where it has none."""
        named = self.content.get("tasks", {})
        return replace(self, content=tasks.alone(self.content, window)) if window in named else self

    def windows(self) -> dict[str, Range | None]:
        """Every window by name, as its folder has it."""
        return self.problem.windows(self)

    def injections(self) -> dict[str, int | None]:
        """Every injection by name, as its folder has it."""
        return self.problem.injections(self)

    def seeds(self, injection: str | None = None) -> dict[str, int]:
        """The seeds of an injection by name, by default of the first one; raises `BadInput` if there is none such."""
        known = self.injections()
        injection = injection or next(iter(known))
        if injection not in known:
            raise BadInput(f"injection '{injection}': not in suite {self.name}; there are: {', '.join(known)}")
        return {seed_name(seed): seed for seed in self.problem.seeds(self, known[injection])}

    def shared(self) -> list[str]:
        """The shared fits that the suite's methods stand on."""
        found = set[str]().union(*map(self.stands_on, self["methods"]))
        return sorted(name for name in found if catalogue.get(name).shared)

    def settings(self, method: str) -> dict[str, Any]:
        """Changes to the defaults of a method or shared fit."""
        section = self["shared"] if catalogue.get(method).shared else self["methods"]
        return dict(section.get(method) or {})

    def needs(self, method: str) -> tuple[str, ...]:
        """The fits that a method stands on, shared ones and cells of other methods."""
        return entries.needs(method, self.settings(method))

    def base(self, method: str) -> str:
        """The method whose fit another one, with a further classifier, takes over; "" for every other."""
        return entries.base(method, self["classifiers"])

    def stands_on(self, method: str) -> set[str]:
        """Every fit that a method stands on, itself or through others."""
        found = {self.base(method)} if self.base(method) else set(self.needs(method))
        return found.union(*map(self.stands_on, found))

    def classifier(self, method: str) -> dict[str, Any]:
        """Changes to the defaults of a method's classifier."""
        return entries.classifier(method, self["classifier"], self["classifiers"])

    def leaves_rows(self, method: str) -> bool:
        """Whether a method's fit leaves rows for its template: of its own, or of the one that it refines."""
        entry = catalogue.get(method)
        return entry.rows or (entry.of == "template" and any(map(self.leaves_rows, self.needs(method))))

    def everywhere(self, method: str) -> bool:
        """Whether one fit serves all windows; named tasks have different events, so each is fitted by itself."""
        return catalogue.get(method).everywhere and not self.content.get("tasks")

    def cells(self, shared: bool = False) -> Iterator[Cell]:
        """Every cell, in order of the grid; with the shared fits' cells too if asked for."""
        first = next(iter(self.windows()))
        names = [*self["methods"], *(self.shared() if shared else [])]
        for window in self.windows():
            for injection in self.injections():
                for seed in self.seeds(injection):
                    for method in names:
                        if self.everywhere(method) and window != first:
                            continue
                        cell = Cell(window, injection, seed, method)
                        if self.problem.holds(self, cell):
                            yield cell

    def timed(self) -> list[Cell]:
        """The cell of each method whose throughput is measured: first window and seed, largest injection."""
        window = next(iter(self.windows()))
        injection = max(self.at(window).injections().items(), key=lambda item: item[1] or 0)[0]
        seed = next(iter(self.seeds(injection)))
        return [Cell(window, injection, seed, method) for method in self["methods"]]

    def recipe(self, window: str, injection: str, seed: str) -> Any:
        """How the task of a place in the grid is drawn; raises `BadInput` if there is no such place."""
        return self.problem.recipe(self, window, injection, seed)

    def draw(self, window: str, injection: str, seed: str, out: Path) -> None:
        """Draw the task of a place in the grid; raises `BadInput` where the events do not allow it."""
        self.problem.draw(self.at(window), self.recipe(window, injection, seed), out)

    def dataset(self) -> tables.Dataset:
        """Read the events."""
        return sources.load(self["dataset"], Path())

    def save(self, path: Path) -> None:
        """Write the suite as JSON that `load` reads back; untouched where the file has the same already."""
        kept = {"name": self.name, "file": self.file, "dataset_sha256": self.dataset_sha256, "resolved": self.content}
        content = (json.dumps(kept, indent=1) + "\n").encode()
        if not path.exists() or path.read_bytes() != content:
            with events.atomic(path) as temporary:
                temporary.write_bytes(content)

    def differing(self, kept: Path) -> tuple[str, list[str]]:
        """Where the suite that a run has kept came from, and the keys in which its content differs.

        Data are the same if their content is, wherever they lie.

        Raises:
            BadInput: `kept` is damaged.
        """
        other, document = load(kept), documents.read(kept)
        ours, theirs = tasks.without_events(self.content), tasks.without_events(other.content)
        keys = [key for key in {**theirs, **ours} if key != "dataset" and ours.get(key) != theirs.get(key)]
        if "dataset_sha256" in document:
            same = document["dataset_sha256"] == self.dataset_sha256
        else:  # the run is older than this entry
            same = self.datasets() == other.datasets()
        return other.file, [*keys, *([] if same else ["dataset"])]


def names() -> list[str]:
    """The suites that come with Sideband."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def path_of(suite: str | Path) -> Path:
    """The file of a suite, given by its name or by its path."""
    return SUITES / f"{suite}.yaml" if str(suite) in names() else Path(suite)


def load(suite: str | Path, device: str | None = None, sample: Path | None = None) -> Suite:
    """Read a suite by name, from a YAML file, or from the JSON that a run keeps.

    Args:
        suite: "quick", or a path.
        device: in place of the suite's own.
        sample: a folder of generated events, in place of the embedded ones; the suite's name then ends in its name.

    Raises:
        BadInput: no such suite, an unknown key or method, a wrong value, a file that does not exist.
    """
    path = path_of(suite)
    if not os.path.isfile(path):
        raise BadInput(f"suite '{suite}': no such file, and none of {', '.join(names())}")
    content = documents.read(path)
    if path.suffix == ".json" and isinstance(content, dict) and "resolved" in content:
        return _kept(content, path)
    result = Suite(path.stem, _completed(content, path), _origin(path))
    if device is not None:
        result.content["device"] = device
    if sample is not None:
        if "\0" in str(sample):
            raise BadInput(f"--events {sample}: no folder has such a name; give that of a generated sample")
        folder = sample.resolve()
        result = Suite(f"{result.name}-{folder.name}", result.problem.with_sample(result, folder), result.file)
    check_sense(result, path)
    for section in result.datasets():
        sources.files(section, Path())
    return result


def _origin(path: Path) -> str:
    """What runs call the file of a suite: a name alone is a suite that comes with Sideband."""
    return path.stem if path.resolve().parent == SUITES.resolve() else os.path.realpath(path)


def _kept(document: dict[str, Any], path: Path) -> Suite:
    """The suite that a run has kept; its data may be elsewhere now."""
    name, file = document.get("name"), document.get("file", "")
    if not (isinstance(name, str) and isinstance(file, str)):
        raise BadInput(f"{path}: name, file: must be text; remove the file, and run the suite again")
    result = Suite(name, _completed(document["resolved"], path), file)
    check_sense(result, path)
    return result


def _completed(content: Any, path: Path) -> dict[str, Any]:
    """The sections, checked, with the preset's settings and every default filled in and every path from the root."""
    check_keys(content, path, SUITES / "schema.json")
    content = {**DEFAULTS, **presets.applied(content)}
    content["throughput"] = {**THROUGHPUT, **content["throughput"]}
    if "excess" in content:
        content["excess"] = {**EXCESS, **content["excess"]}
    content["methods"] = entries.expanded(content["methods"], content["classifiers"], path)
    base = path.resolve().parent
    content["dataset"] = sources.absolute(content["dataset"], base)
    return tasks.completed(content, path, base, lambda whole: check_keys(whole, path, SUITES / "schema.json"))

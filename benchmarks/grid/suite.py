"""Suites: what one run of the benchmark covers, read from YAML and checked before anything is computed."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import numpy as np

from sideband.benchmarks import catalogue
from sideband.benchmarks.events import hdf5, sources, tables
from sideband.benchmarks.events.task import WINDOWLESS, Range, injection_name, seed_name, window_name
from sideband.benchmarks.grid import documents
from sideband.benchmarks.problems.search.draw import BACKGROUND_SPLIT, Recipe, make
from sideband.infer import events
from sideband.infer.errors import BadInput

T = TypeVar("T")

SUITES = Path(__file__).parents[1] / "suites"
SOURCES = ("dijets", "hdf5", "lhco", "showers", "shower_files")  # of events
SHOWERS = ("showers", "shower_files")
STORE = "mlflow"  # the folder beside those of suites
LONGEST_NAME = 100  # bytes; it is a folder's, with a sample's name at its end
RESERVED = ("label", "weight")  # columns of the layout that are neither mass nor features

# Keys of suites of dijets alone, the first ones needed there.
WINDOWED = ("mass_range", "windows", "injections", "validation_windows", "background_seeds", "excess", "data_events")

DEFAULTS: dict[str, Any] = {
    "oversampling": 4,
    "device": "cpu",
    "validation_windows": [],
    "shared": {},
    "classifier": {},
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
    def showers(self) -> bool:
        """Whether its events are calorimeter showers, which have neither mass windows nor injections."""
        return self["dataset"]["source"] in SHOWERS

    @property
    def labelled(self) -> bool:
        """Whether the truth is known: signal is injected, or showers come in samples of their own."""
        return "injections" in self.content or self.showers

    @property
    def folds(self) -> int:
        """Folds of the cross-fit, 0 for none."""
        return int(self.content["excess"]["folds"]) if self.content.get("excess") else 0

    @cached_property
    def dataset_sha256(self) -> str:
        """The digest of the data, wherever they lie, and of what the suite says of them."""
        return sources.identity(self["dataset"], Path())

    def windows(self) -> dict[str, Range | None]:
        """Every window by name, validation windows too; of showers the one place where windows would be."""
        if self.showers:
            return {WINDOWLESS: None}
        both = [*self["windows"], *self["validation_windows"]]
        return {window_name(window): (window[0], window[1]) for window in both}

    def injections(self) -> dict[str, int | None]:
        """Every injection by name."""
        numbers: list[int | None] = [*self.content.get("injections", [0] if self.showers else [None])]
        return {injection_name(number): number for number in numbers}

    def seeds(self, injection: str | None = None) -> dict[str, int]:
        """The seeds of an injection by name, by default of the first one; raises `BadInput` if there is none such."""
        known = self.injections()
        number = self._named("injection", injection or next(iter(known)), known)
        chosen = self["background_seeds"] if number == 0 and "background_seeds" in self.content else self["seeds"]
        return {seed_name(seed): seed for seed in chosen}

    def shared(self) -> list[str]:
        """The shared fits that the suite's methods stand on."""
        return sorted({name for method in self["methods"] for name in catalogue.get(method).needs})

    def settings(self, method: str) -> dict[str, Any]:
        """Changes to the defaults of a method or shared fit."""
        section = self["shared"] if catalogue.get(method).shared else self["methods"]
        return dict(section.get(method) or {})

    def cells(self, shared: bool = False) -> Iterator[Cell]:
        """Every cell, in order of the grid; with the shared fits' cells too if asked for."""
        first = next(iter(self.windows()))
        names = [*self["methods"], *(self.shared() if shared else [])]
        for window in self.windows():
            for injection in self.injections():
                for seed in self.seeds(injection):
                    for method in names:
                        if catalogue.get(method).everywhere and window != first:
                            continue
                        yield Cell(window, injection, seed, method)

    def timed(self) -> list[Cell]:
        """The cell of each method whose throughput is measured: first window and seed, largest injection."""
        injection = max(self.injections().items(), key=lambda item: item[1] or 0)[0]
        window, seed = next(iter(self.windows())), next(iter(self.seeds(injection)))
        return [Cell(window, injection, seed, method) for method in self["methods"]]

    def draw(self, window: str, injection: str, seed: str, out: Path) -> None:
        """Draw the task of a cell; raises `BadInput` as `recipe` and the task's `make` do."""
        if not self.showers:
            make(self.dataset(), self.recipe(window, injection, seed), out)
            return
        from sideband.benchmarks.problems.showers import draw as task

        section = self["dataset"]
        files = sources.files(section, Path())
        task.make(section, files, self.dataset_sha256, self._named("seed", seed, self.seeds()), out)

    def check_data(self) -> None:
        """Read the files of the data once; raises `BadInput` where they are not as the suite says."""
        if not self.showers:
            self.dataset()
            return
        from sideband.benchmarks.events import showers as readers

        for path in sources.files(self["dataset"], Path()).values():
            readers.read(path)

    def recipe(self, window: str, injection: str, seed: str) -> Recipe:
        """How the task of a cell with a mass window is drawn."""
        edges = self._named("window", window, self.windows())
        number = self._named("injection", injection, self.injections())
        chosen = self._named("seed", seed, self.seeds(injection))
        assert edges is not None
        main = self["windows"][0]
        low, high = self["mass_range"]
        return Recipe(
            mass_range=(low, high),
            window=edges,
            injection=number,
            seed=chosen,
            masked=(main[0], main[1]) if list(edges) in self["validation_windows"] else None,
            data_events=self.content.get("data_events"),
            oversampling=self["oversampling"],
        )

    def _named(self, what: str, name: str, known: Mapping[str, T]) -> T:
        if name not in known:
            raise BadInput(f"{what} '{name}': not in suite {self.name}; there are: {', '.join(known)}")
        return known[name]

    def dataset(self) -> tables.Dataset:
        """Read the events."""
        return sources.load(self["dataset"], Path())

    def save(self, path: Path) -> None:
        """Write the suite as JSON that `load` reads back; untouched where it says the same already."""
        told = {"name": self.name, "file": self.file, "dataset_sha256": self.dataset_sha256, "resolved": self.content}
        content = (json.dumps(told, indent=1) + "\n").encode()
        if not path.exists() or path.read_bytes() != content:
            with events.atomic(path) as temporary:
                temporary.write_bytes(content)

    def differing(self, kept: Path) -> tuple[str, list[str]]:
        """What the suite that a run has kept came from, and the keys in which its content is another.

        Data are the same if their content is, wherever they lie.

        Raises:
            BadInput: `kept` is damaged.
        """
        other, told = load(kept), documents.read(kept)
        ours, theirs = self.content, other.content
        keys = [key for key in {**theirs, **ours} if key != "dataset" and ours.get(key) != theirs.get(key)]
        if "dataset_sha256" in told:
            same = told["dataset_sha256"] == self.dataset_sha256
        else:  # written before it was kept
            same = theirs["dataset"] == ours["dataset"]
        return other.file, [*keys, *([] if same else ["dataset"])]


def names() -> list[str]:
    """The suites that come with Sideband."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def path_of(suite: str | Path) -> Path:
    """The file of a suite that is called by its name or by its path."""
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
        result = _with_sample(result, sample.resolve(), path)
    _check_sense(result, path)
    sources.files(result["dataset"], Path())
    return result


def _origin(path: Path) -> str:
    """How runs call the file of a suite: a name alone is a suite that comes with Sideband."""
    return path.stem if path.resolve().parent == SUITES.resolve() else os.path.realpath(path)


def _kept(told: dict[str, Any], path: Path) -> Suite:
    """The suite that a run has kept; its data may be elsewhere now."""
    name, file = told.get("name"), told.get("file", "")
    if not (isinstance(name, str) and isinstance(file, str)):
        raise BadInput(f"{path}: name, file: must be text; remove the file, and run the suite again")
    result = Suite(name, _completed(told["resolved"], path), file)
    _check_sense(result, path)
    return result


def _completed(content: Any, path: Path) -> dict[str, Any]:
    """The sections, checked, with every default filled in and every path from the root."""
    _check(content, path)
    content = {**DEFAULTS, **content}
    content["throughput"] = {**THROUGHPUT, **content["throughput"]}
    if "excess" in content:
        content["excess"] = {**EXCESS, **content["excess"]}
    content["methods"] = {name: settings or {} for name, settings in content["methods"].items()}
    content["dataset"] = _absolute(content["dataset"], path.resolve().parent)
    return content


def _whole(checker: Any, value: Any) -> bool:
    """JSON's schema takes 20.0 for a whole number; Python and YAML do not."""
    return isinstance(value, int) and not isinstance(value, bool)


# An error ends the check: a list that is too long, or of mixed kinds, is never compared for equal items.
_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _whole),
)


def _check(content: Any, path: Path) -> None:
    error = next(_Validator(json.loads((SUITES / "schema.json").read_text())).iter_errors(content), None)
    if error is None:
        return
    place = ".".join(str(step) for step in error.absolute_path) or "the suite"
    if place == "dataset.source":
        raise BadInput(f"{path}: dataset.source is '{error.instance}'; choose one of {', '.join(SOURCES)}")
    said = " ".join(error.message.split())
    said = said if len(said) <= 300 else f"{said[:200]} … {said[-80:]}"
    raise BadInput(f"{path}: {place}: {said}; `benchmarks/suites/schema.json` lists every key")


def _check_sense(suite: Suite, path: Path) -> None:
    """Refuse what the schema cannot: sections that do not fit each other."""
    _check_name(suite.name, path)
    for key in WINDOWED:
        if suite.showers and suite.content.get(key):
            raise BadInput(f"{path}: {key}: showers have no mass window and no injection; remove the key")
        if not suite.showers and key not in suite.content and key in WINDOWED[:2]:
            raise BadInput(f"{path}: the suite: '{key}' is missing; `benchmarks/suites/schema.json` lists every key")
    _check_methods(suite, path)
    if not suite.labelled and (suite["dataset"]["source"] == "dijets" or "signal" in suite["dataset"]):
        raise BadInput(
            f"{path}: 'injections' is missing; signal that comes apart from the data is not in them until injected"
        )
    if suite.showers:
        _check_decays(suite["dataset"], path)
    else:
        _check_columns(suite["dataset"], path)
        _check_windows(suite, path)


def _check_name(name: str, path: Path) -> None:
    """A suite's name is that of a folder beside others, and of an experiment."""
    if name == STORE or not re.fullmatch(r"[^-./\0-\x1f\x7f][^/\0-\x1f\x7f]*", name):
        raise BadInput(
            f"{path}: '{name}' cannot name a suite: not '{STORE}', no '.' or '-' at the beginning, no control "
            "characters; rename the file"
        )
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise BadInput(f"{path}: a suite's name has at most {LONGEST_NAME} bytes; rename the file")


def _check_methods(suite: Suite, path: Path) -> None:
    for name in suite["methods"]:
        entry = catalogue.get(name)
        if entry.showers != suite.showers:
            kind = ("dijets", "showers")
            raise BadInput(
                f"{path}: methods.{name}: a method for {kind[entry.showers]}, and the suite's events are "
                f"{kind[suite.showers]}; remove it"
            )
        if entry.shared:
            raise BadInput(
                f"{path}: methods.{name}: a fit that methods share, not a method; its settings go to 'shared'"
            )
        if entry.truth and not suite.labelled:
            raise BadInput(
                f"{path}: methods.{name}: a reference that reads the truth; without 'injections' there is none"
            )
    for name in suite["shared"]:
        if not catalogue.get(name).shared:
            raise BadInput(f"{path}: shared.{name}: a method, not a shared fit; its settings go to 'methods'")


def _check_decays(section: Mapping[str, Any], path: Path) -> None:
    if section["source"] == "showers" and section.get("depths") == section.get("lifetimes") == []:
        raise BadInput(f"{path}: dataset: neither depths nor lifetimes, so there is nothing to tell from photons")
    for index, decay in enumerate(section["decays"] if section["source"] == "shower_files" else []):
        if ("depth" in decay) == ("lifetime" in decay):
            raise BadInput(f"{path}: dataset.decays.{index}: give either a depth [m] or a lifetime [ns]")


def _check_columns(section: Mapping[str, Any], path: Path) -> None:
    for name in [section.get("mass", {}).get("column"), *section.get("features", [])]:
        if name in RESERVED:
            raise BadInput(
                f"{path}: dataset: '{name}' is no name for a mass or a feature; events files call another column so"
            )


def _check_windows(suite: Suite, path: Path) -> None:
    low, high = suite["mass_range"]
    if not low < high:
        raise BadInput(f"{path}: mass_range {[low, high]}: the lower edge comes first")
    seen = set()
    for window in [*suite["windows"], *suite["validation_windows"]]:
        if not low < window[0] < window[1] < high:
            raise BadInput(f"{path}: window {window} does not lie inside mass_range {[low, high]}")
        edges = (np.float32(window[0]), np.float32(window[1]))  # as masses are compared with them
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


def _with_sample(suite: Suite, folder: Path, path: Path) -> Suite:
    """The suite with the dijets of a folder in place of the embedded ones, and no more data than there are."""
    section = suite["dataset"]
    if section["source"] != "dijets":
        raise BadInput(f"--events {folder}: {path} has events of its own; give a suite on the embedded dijets")
    parts = {part: str(folder / f"{part}.h5") for part in sources.PARTS if (folder / f"{part}.h5").is_file()}
    for part in ("data", "signal"):
        if part not in parts:
            raise BadInput(f"--events {folder}: no {part}.h5 there; `python -m benchmarks generate sample` makes it")
    dataset = {"source": "hdf5", **parts, **hdf5.dijets(section), "description": f"events of {folder.name}"}
    with events.opened(parts["data"]) as file:
        held = events.count(file, ["m_jj"], parts["data"])
    held = held if "background" in parts else int(held * BACKGROUND_SPLIT["data"])
    asked = suite.content.get("data_events", held)
    if asked > held:
        print(f"{folder.name}: {held:,} events for the data, where {suite.name} would draw {asked:,}; all are used")
    content = {**suite.content, "dataset": dataset, "data_events": min(asked, held)}
    return Suite(f"{suite.name}-{folder.name}", content, suite.file)


def _absolute(section: dict[str, Any], base: Path) -> dict[str, Any]:
    """The section with the paths in it, wherever they stand, from the root."""

    def resolved(key: str, value: Any) -> Any:
        if key in (*sources.PARTS, "test", "file"):
            return os.path.realpath(base / value)
        return [_absolute(each, base) for each in value] if key == "decays" and isinstance(value, list) else value

    return {key: resolved(key, value) for key, value in section.items()}

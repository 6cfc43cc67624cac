"""A search in events in memory: tasks, fits and exports by the very code of the grid, in a folder of its own."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sideband.api import columns
from sideband.api import excess as counting
from sideband.api.excess import Excess
from sideband.api.fit import Fit
from sideband.benchmarks import catalogue, entries
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.export.cell import VECTORS, export_cell
from sideband.infer import events
from sideband.infer.columns import Columns
from sideband.infer.errors import BadInput, in_one_line
from sideband.train.cell import MODEL, fit_cell
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.methods import settings as settings_of
from sideband.train.settings import settings_from

Window = tuple[float, float]


class Search:
    """A search for a resonance in one mass window, without labels.

    Args:
        mass: masses `[N]`. The name of a pandas series becomes the column's name.
        features: `[N, d]`: an array, a data frame, a mapping of columns, or an array of records of awkward or numpy.
        window: the signal region, `(low, high)`.
        mass_range: the whole range of the search; by default all masses.
        validation_windows: windows in the sidebands; `excess` takes δ_sys from them.
        simulation: mass and features of simulated background, for the methods that need it.
        unit: of the mass.
        seed: of every random number.
        preset: settings of all fits: "quick", "standard" or "paper".
        shared, classifier: changes to it, as the sections of these names in a suite.
        folds: of the cross-fit.
        device: "cpu" or "cuda", no fallback.
        folder: an empty or new folder to keep everything in; by default a temporary one, gone with the search.

    Raises:
        BadInput: events, a window or a setting cannot be used.
    """

    def __init__(
        self,
        mass: Any,
        features: Any,
        window: Window,
        *,
        mass_range: Window | None = None,
        validation_windows: Sequence[Window] = (),
        simulation: tuple[Any, Any] | None = None,
        unit: str = "",
        seed: int = 1,
        preset: str = "quick",
        shared: Mapping[str, Any] | None = None,
        classifier: Mapping[str, Any] | None = None,
        folds: int = 5,
        device: str = "cpu",
        folder: str | Path | None = None,
    ) -> None:
        name = columns.mass_name(mass)
        data = columns.table(mass, name, columns.named(features))
        self.columns = tuple(data)
        self.window = _edges(window, "window")
        parts = {"data": data}
        if simulation is not None:
            parts["simulation"] = self._simulated(simulation)
        self._sections: dict[str, Any] = {
            "about": "a search in Python",
            "mass_range": _edges(mass_range, "mass_range") if mass_range is not None else columns.around(data[name]),
            "windows": [self.window],
            "validation_windows": [_edges(each, "validation_windows") for each in validation_windows],
            "seeds": [seed],
            "excess": {"folds": folds},
            "preset": preset,
            "device": device,
            **{key: each for key, each in (("shared", shared), ("classifier", classifier)) if each},
        }
        self._fitted: dict[str, dict[str, Any]] = {}
        self.folder = self._placed(folder)
        try:
            self._write(parts, unit)
            self.suite = self._with({})
            settings_from(ClassifierSettings, self.suite["classifier"], "classifier")
            for name, given in (shared or {}).items():
                settings_of(name, given, f"shared.{name}")
            self.task()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)  # it was empty
            raise

    def __repr__(self) -> str:
        mass, *features = self.columns
        low, high = self.window
        return f"Search({mass!r} in {low:g}-{high:g}, features {', '.join(features)})"

    @property
    def methods(self) -> list[str]:
        """The methods to choose from: those that need neither the truth nor a simulation that is not there."""
        given = {"simulation"} & {*self._sections["dataset"]}
        return [
            name
            for name, each in catalogue.CATALOGUE.items()
            if each.problem == "search" and not (each.shared or each.truth) and {*each.events} <= given
        ]

    def makes_template(self, method: str) -> bool:
        """Whether a method makes a template."""
        return "template" in catalogue.get(method).roles

    def fit(self, method: str, /, **settings: Any) -> Fit:
        """Fit a method and export it; what other fits of this search have shared is not fitted again.

        Args:
            method: its name, or METHOD@LABEL to have it more than once.
            settings: changes to the preset's.

        Raises:
            BadInput: unknown method or setting, or one that these events do not allow.
            GateFailed: the fit or its export has failed a check.
        """
        self._check(method, settings)
        if self._fitted.get(method, settings) != settings:
            raise BadInput(f"fit({method!r}): is fitted with other settings already; call this one {method}@LABEL")
        fitted = {**self._fitted, method: settings}
        suite = self._with(fitted)
        # Before anything is fitted that the method stands on.
        settings_of(method, suite.settings(method), f"fit({method!r})")
        cell = self._cell(suite, self._windows[0], method)
        self.suite, self._fitted = suite, fitted
        return Fit(self, method, cell)

    def excess(self, fit: Fit, efficiencies: Sequence[float] = (1e-2, 1e-3)) -> list[Excess]:
        """Events in the window above cuts on cross-fitted scores, and what the template expects there.

        With validation windows, the method is fitted in each of them too, and Z contains the δ_sys that they give.

        Args:
            fit: of this search.
            efficiencies: fractions of the template that pass the cuts.

        Raises:
            BadInput: the method makes no template, or not such efficiencies.
        """
        if not isinstance(fit, Fit):
            raise BadInput(f"excess({fit!r}): is no fit; give what fit(…) of this search has returned")
        if fit.search is not self:
            raise BadInput(f"excess({fit!r}): was fitted in another search; call that one's excess")
        fit.check_template()
        cuts = counting.check_efficiencies(efficiencies)
        of_window = [
            counting.counted(self._cell(self.suite, window, fit.method), self.task(window), cuts)
            for window in self._windows
        ]
        return [counting.with_systematic(region, validated) for region, *validated in zip(*of_window, strict=True)]

    def task(self, window: str = "") -> Path:
        """The file that fits see of a window, by default the signal region; drawn where it is missing."""
        place = self._place(window or self._windows[0])
        path = self.folder / place.task / "task.h5"
        if not path.exists():
            self.suite.draw(place.window, place.injection, place.seed, path)
        return path

    @property
    def _windows(self) -> list[str]:
        """Every window, the signal region first."""
        return list(self.suite.windows())

    def _place(self, window: str, method: str = "") -> Cell:
        """A place in the grid of the search."""
        return Cell(window, next(iter(self.suite.injections())), next(iter(self.suite.seeds())), method)

    def _cell(self, suite: Suite, window: str, method: str) -> Path:
        """The folder of a finished cell, which is made where it is missing, as is what it stands on."""
        shared = catalogue.get(method).shared
        window = self._windows[0] if suite.everywhere(method) else window
        folder = self.folder / self._place(window, method).folder
        if not (folder / (MODEL if shared else VECTORS)).exists():
            needs = {name: self._cell(suite, window, name) / MODEL for name in suite.needs(method)}
            changes = suite.settings(method), suite.classifier(method)
            task = self.task(window)
            with _threads_as_before():
                fit_cell(method, task, folder, *changes, needs, suite.folds, suite["device"], suite=suite.name)
                if not shared:
                    export_cell(folder / MODEL, task, folder, self.folder / "graphs")
        return folder

    def _check(self, method: str, settings: Mapping[str, Any]) -> None:
        """Refuse what is no method for these events, or stands on one that is not fitted."""
        if not isinstance(method, str):
            raise BadInput(f"fit({method!r}): give the name of a method; there are: {', '.join(self.methods)}")
        base, of = method.partition("@")[0], settings.get("of")
        if base in self.methods:
            for each in entries.of(of) if isinstance(of, str | list | tuple) else ():
                if each not in self._fitted:
                    raise BadInput(f"fit({method!r}): of: {each!r} is not fitted; fit it first")
            return
        entry = catalogue.CATALOGUE.get(base)
        why = "no method of a search"
        if entry is not None and entry.truth:
            why = "a reference that reads the truth, which a search does not know"
        elif entry is not None and entry.events and not entry.shared:
            why = "needs simulated background; give Search simulation=(mass, features)"
        raise BadInput(f"fit({method!r}): {why}; there are: {', '.join(self.methods)}")

    def _with(self, given: Mapping[str, Any]) -> Suite:
        """The suite of the search with these methods, checked; without any, one that stands for all."""
        path = self.folder / "search.json"
        try:
            events.write_json(path, {**self._sections, "methods": given or {"cwola": {}}})
            return suites.load(path)
        except TypeError as error:
            raise BadInput(f"settings: {in_one_line(error)}; give plain numbers and text") from error
        except BadInput as error:
            raise BadInput(str(error).replace(f"{path}: ", "")) from error

    def _simulated(self, given: Any) -> Columns:
        """The columns of a simulation, which are those of the search."""
        name, *features = self.columns
        try:
            mass, table = given
        except (TypeError, ValueError) as error:
            raise BadInput("simulation: not a pair; give its (mass, features)") from error
        return columns.table(mass, name, columns.named(table, features))

    def _placed(self, folder: str | Path | None) -> Path:
        """The folder of the search, empty."""
        if folder is None:
            made = Path(tempfile.mkdtemp(prefix="sideband-"))
            weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
            return made
        if os.path.lexists(folder) and not (os.path.isdir(folder) and not os.listdir(folder)):
            raise BadInput(f"folder {folder}: is not empty; give a new one")
        return Path(folder).absolute()

    def _write(self, parts: Mapping[str, Columns], unit: str) -> None:
        """Write the events to files, and the suite's section of them."""
        name, *features = self.columns
        for part, table in parts.items():
            with events.new_file(self.folder / f"{part}.h5") as file:
                events.write(file, table, {name: unit})
        files = {part: f"{part}.h5" for part in parts}
        mass = {"column": name, "unit": unit}
        self._sections["dataset"] = {"source": "events", **files, "mass": mass, "features": features}


@contextmanager
def _threads_as_before() -> Iterator[None]:
    """Give torch its number of threads back, which fits set to one."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _edges(given: Any, what: str) -> Window:
    """A pair of numbers; raises `BadInput`."""
    try:
        low, high = map(float, given)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what}: {given!r} is not a pair of numbers; give (low, high)") from error
    return low, high

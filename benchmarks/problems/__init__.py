"""The problems that a suite can pose, and the contract that each of them fulfils.

Grid, report and command line know a problem by this contract alone, never by its name. A problem is a room here whose
`PROBLEM` fulfils it, and a name in the catalogue.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sideband.benchmarks.catalogue import PROBLEMS
from sideband.benchmarks.events import task as tasks
from sideband.infer.errors import BadInput

if TYPE_CHECKING:  # the images of most stages draw nothing
    from matplotlib.figure import Figure

    from sideband.benchmarks.grid.suite import Cell, Suite
    from sideband.benchmarks.report.content import Section, Table
    from sideband.benchmarks.report.results import Results

Record = dict[str, Any]
Range = tasks.Range


class Problem(ABC):
    """What grid, report and command line ask of a problem.

    Args:
        events: what its events are called in messages.
        sources: where its events may come from; a suite of such events poses it.
        keys: keys of a suite that only suites of this problem may have.
        evaluation: the JSON schema of a cell's evaluation.
    """

    events: str
    sources: tuple[str, ...]
    keys: tuple[str, ...] = ()
    evaluation: Mapping[str, Any]

    # Suites

    @abstractmethod
    def check(self, suite: "Suite", path: Path) -> None:
        """Raise `BadInput` for sections of a suite that do not fit each other, beyond what the schema can say."""

    @abstractmethod
    def labelled(self, suite: "Suite") -> bool:
        """Whether the truth is known."""

    @abstractmethod
    def windows(self, suite: "Suite") -> dict[str, Range | None]:
        """The windows of the grid, by the names of their folders."""

    @abstractmethod
    def injections(self, suite: "Suite") -> dict[str, int | None]:
        """The injections of the grid, by the names of their folders."""

    def seeds(self, suite: "Suite", injection: int | None) -> list[int]:
        """The seeds of an injection."""
        return list(suite["seeds"])

    def holds(self, suite: "Suite", cell: "Cell") -> bool:
        """Whether the grid has a cell at a place; a problem may leave out those that would say nothing."""
        return True

    def with_sample(self, suite: "Suite", folder: Path) -> Record:
        """The sections of a suite with generated events in place of the embedded ones; raises `BadInput`."""
        raise BadInput(
            f"--events {folder}: {suite.file or suite.name} has events of its own; give a suite on the embedded dijets"
        )

    # Tasks

    @abstractmethod
    def check_data(self, suite: "Suite") -> int:
        """Read the files of the data once and return the number of events in them.

        Raises:
            BadInput: they are not as the suite says.
        """

    @abstractmethod
    def recipe(self, suite: "Suite", window: str, injection: str, seed: str) -> Any:
        """How the task of a place in the grid is drawn; a task whose recipe changes is drawn again."""

    @abstractmethod
    def draw(self, suite: "Suite", recipe: Any, out: Path) -> None:
        """Draw a task; raises `BadInput` where the events do not allow it."""

    # Cells

    @abstractmethod
    def poses(self, task: tasks.Task) -> bool:
        """Whether a task is of this problem."""

    @abstractmethod
    def evaluate(
        self,
        task: Path,
        scores: Path,
        template: Path | None = None,
        data_scores: Path | None = None,
        template_scores: Path | None = None,
        efficiencies: tuple[float, ...] = (),
        closure_events: int | None = None,
        latents: tuple[Path, ...] = (),
    ) -> Record:
        """Evaluate the scores and the template of a cell; raises `BadInput` for files of another task."""

    @abstractmethod
    def control(self, task: Path, closure_events: int | None = None) -> Record:
        """Floor and positive control of the closure test on a task."""

    @abstractmethod
    def rows(self, evaluation: Record) -> Iterator[Record]:
        """The numbers of an evaluation, one row a metric."""

    def across(self, suite: "Suite", rows: Sequence[Record]) -> Iterator[Record]:
        """Further numbers of cells that take the rows of several cells, each with its place in the grid."""
        return iter(())

    # The report

    def verdict(self, results: "Results") -> "Section | None":
        """What the report begins with: which method to use."""
        return None

    @abstractmethod
    def sections(self, results: "Results") -> Iterator["Section"]:
        """What was found, so far as the grid is finished."""

    @abstractmethod
    def protocol(self, results: "Results") -> dict[str, str]:
        """What was done, in words."""

    @abstractmethod
    def summary(self, results: "Results") -> "list[Table]":
        """The tables for the terminal."""

    @abstractmethod
    def drawn(self, results: "Results") -> "Table":
        """What was drawn."""

    @abstractmethod
    def published(self) -> "Table":
        """Every method for this problem, and its paper."""

    def figures(self, results: "Results", cell: "Cell") -> "dict[str, Figure]":
        """The figures of one cell for its own run in MLflow, by name."""
        return {}


@cache
def named(name: str) -> Problem:
    """The problem of a name in the catalogue."""
    problem: Problem = importlib.import_module(f"{__name__}.{name}").PROBLEM
    return problem


def all_problems() -> dict[str, Problem]:
    """Every problem, by name."""
    return {name: named(name) for name in PROBLEMS}


def of(content: Mapping[str, Any]) -> str:
    """The name of the problem that a suite with these sections poses: as it says, else by where its events are from."""
    source = content["dataset"]["source"]
    return content.get("problem") or next(name for name, each in all_problems().items() if source in each.sources)


def of_task(path: Path) -> Problem:
    """The problem that a task poses; raises `BadInput` where the file is no task."""
    task = tasks.read(path)
    return next(each for each in all_problems().values() if each.poses(task))

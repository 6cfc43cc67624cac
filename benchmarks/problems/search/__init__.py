"""A search for a resonance in mass windows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.problems import Problem, Range, Record
from sideband.benchmarks.problems.search import records, systematics
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.problems.search.draw import Recipe, check, make

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sideband.benchmarks.grid.suite import Cell, Suite
    from sideband.benchmarks.report.content import Section, Table
    from sideband.benchmarks.report.results import Results


class Search(Problem):
    """Windows in mass, injections of signal in each, and several draws of each injection."""

    events = "dijets"
    sources = ("dijets", "dimuons", "events", "hdf5", "lhco")
    keys = suites.KEYS
    evaluation = records.EVALUATION

    def check(self, suite: "Suite", path: Path) -> None:
        """Refuse windows, columns and studies that do not fit each other."""
        suites.check(suite, path)

    def labelled(self, suite: "Suite") -> bool:
        """Whether signal is injected; events taken as they are have no labels."""
        return "injections" in suite.content

    def windows(self, suite: "Suite") -> dict[str, Range | None]:
        """Every window by name, validation windows too."""
        return suites.windows(suite)

    def injections(self, suite: "Suite") -> dict[str, int | None]:
        """Every injection by name; None for events taken as they are."""
        return {tasks.injection_name(number): number for number in suites.injections(suite)}

    def seeds(self, suite: "Suite", injection: int | None) -> list[int]:
        """The seeds of an injection; background alone may have seeds of its own."""
        return list(suite.content.get("background_seeds", suite["seeds"]) if injection == 0 else suite["seeds"])

    def holds(self, suite: "Suite", cell: "Cell") -> bool:
        """In validation windows nothing is learnt but what templates and models of the signal get wrong."""
        return suites.holds(suite, cell)

    def with_sample(self, suite: "Suite", folder: Path) -> Record:
        """The sections with a generated sample in place of the embedded dijets."""
        if suite["dataset"]["source"] != "dijets":
            return super().with_sample(suite, folder)
        return suites.with_sample(suite, folder)

    def check_data(self, suite: "Suite") -> int:
        """Read all events, and try whether every task can be drawn of them; returns the number of those of the data."""
        found = 0
        for name in suite.content.get("tasks", [""]):
            dataset = suite.at(name).dataset()
            found += len(dataset.data)
            for each in suites.recipes(suite.at(name)):
                check(dataset, each)
        return found

    def recipe(self, suite: "Suite", window: str, injection: str, seed: str) -> Recipe:
        """Window, injection, seed and sizes of a task."""
        return suites.recipe(suite, window, injection, seed)

    def draw(self, suite: "Suite", recipe: Recipe, out: Path) -> None:
        """Draw a task from the suite's events."""
        make(suite.dataset(), recipe, out)

    def poses(self, task: tasks.Task) -> bool:
        """Whether a task has a window."""
        return task.windowed

    def evaluate(self, *files: Any, **options: Any) -> Record:
        """SIC, closure and excess of a cell."""
        from sideband.benchmarks.problems.search import evaluate

        return evaluate.evaluate(*files, **options)

    def control(self, task: Path, closure_events: int | None = None) -> Record:
        """Closure of truth against truth, and of raw sidebands against truth."""
        from sideband.benchmarks.problems.search import evaluate

        return evaluate.control(task, closure_events)

    def rows(self, evaluation: Record) -> Iterator[Record]:
        """SIC, AUC, closure and excess."""
        return records.rows(evaluation)

    def across(self, suite: "Suite", rows: Sequence[Record]) -> Iterator[Record]:
        """The systematic error of each template, and significances that contain it."""
        return systematics.across(suite, rows)

    def verdict(self, results: "Results") -> "Section | None":
        """One table with everything that speaks for and against each method; named tasks have a table of their own."""
        from sideband.benchmarks.problems.search import verdict

        return None if "tasks" in results.suite.content else verdict.section(results)

    def sections(self, results: "Results") -> "Iterator[Section]":
        """Sensitivity, closure, excess, sculpting, and the suite's studies."""
        from sideband.benchmarks.problems.search import sections

        return sections.sections(results)

    def protocol(self, results: "Results") -> dict[str, str]:
        """Events, masses, signal, templates and classifier."""
        from sideband.benchmarks.problems.search import sections

        return sections.protocol(results)

    def summary(self, results: "Results") -> "list[Table]":
        """SIC of each window; excess and closure where the truth is not known; one table for all named tasks."""
        from sideband.benchmarks.problems.search import excess, labels, studies, tables

        if "tasks" in results.suite.content:
            return [studies.tasks.table(results, studies.tasks.rows(results))]
        suite = results.suite
        if not suite.labelled:
            closures = [tables.closure(results, window) for window in labels.ordered(suite, suites.validation(suite))]
            closures = [_without(table, labels.INJECTED) for table in closures]
            return [table for table in (*closures, excess.brief(results)) if table.rows]
        found = [tables.sic(results, window) for window in labels.ordered(suite, suites.regions(suite))]
        return [replace(table, head=table.head[:5], rows=[row[:5] for row in table.rows]) for table in found]

    def drawn(self, results: "Results") -> "Table":
        """Injected and achieved signal of each task."""
        from sideband.benchmarks.problems.search import tables

        return tables.drawn(results)

    def published(self) -> "Table":
        """Every method for searches in mass, and its paper."""
        from sideband.benchmarks.problems.search import tables

        return tables.published()

    def figures(self, results: "Results", cell: "Cell") -> "dict[str, Figure]":
        """The cell's SIC curve, where it has one."""
        from sideband.benchmarks.problems.search import figures

        return figures.of_cell(results, cell)


def _without(table: "Table", head: str) -> "Table":
    """A table without one of its columns."""
    place = table.head.index(head)
    rows = [[*row[:place], *row[place + 1 :]] for row in table.rows]
    return replace(table, head=[name for name in table.head if name != head], rows=rows)


PROBLEM = Search()

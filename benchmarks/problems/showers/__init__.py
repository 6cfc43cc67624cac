"""Telling decays from photons by their calorimeter showers."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sideband.benchmarks.events import sources
from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.problems import Problem, Range, Record
from sideband.benchmarks.problems.showers import records
from sideband.infer.errors import BadInput

if TYPE_CHECKING:
    from sideband.benchmarks.grid.suite import Suite
    from sideband.benchmarks.report.content import Section, Table
    from sideband.benchmarks.report.results import Results

PLACE, PHOTONS = "showers", tasks.injection_name(0)  # the folders of a task where a search has windows and injections


class ShowerTagging(Problem):
    """Photons to fit and decays to tell from them: one task a seed, without mass windows or injections.

    The folder of a task still has three levels, as in a search: "showers", "n0", and the seed.
    """

    events = "showers"
    sources = ("showers", "shower_files")
    evaluation = records.EVALUATION

    def check(self, suite: "Suite", path: Path) -> None:
        """Refuse decays without a depth or a lifetime, or with both."""
        section = suite["dataset"]
        if section["source"] == "showers" and section.get("depths") == section.get("lifetimes") == []:
            raise BadInput(f"{path}: dataset: neither depths nor lifetimes, so there is nothing to tell from photons")
        for index, decay in enumerate(section["decays"] if section["source"] == "shower_files" else []):
            if ("depth" in decay) == ("lifetime" in decay):
                raise BadInput(f"{path}: dataset.decays.{index}: give either a depth [m] or a lifetime [ns]")

    def labelled(self, suite: "Suite") -> bool:
        """Always: showers come in samples of their own."""
        return True

    def windows(self, suite: "Suite") -> dict[str, Range | None]:
        """The one folder that stands where a search has its windows."""
        return {PLACE: None}

    def injections(self, suite: "Suite") -> dict[str, int | None]:
        """The one folder that stands where a search has its injections."""
        return {PHOTONS: 0}

    def check_data(self, suite: "Suite") -> int:
        """Read every file of showers; returns the number of showers, 0 where they are simulated for each seed."""
        from sideband.benchmarks.events import showers

        return sum(len(showers.read(path)) for path in sources.files(suite["dataset"], Path()).values())

    def recipe(self, suite: "Suite", window: str, injection: str, seed: str) -> int:
        """The seed of a task."""
        known = suite.seeds()
        if seed not in known:
            raise BadInput(f"seed '{seed}': not in suite {suite.name}; there are: {', '.join(known)}")
        return known[seed]

    def draw(self, suite: "Suite", recipe: int, out: Path) -> None:
        """Simulate the showers of a task, or draw them from files."""
        from sideband.benchmarks.problems.showers import draw

        section = suite["dataset"]
        draw.make(section, sources.files(section, Path()), suite.dataset_sha256, recipe, out)

    def poses(self, task: tasks.Task) -> bool:
        """Whether a task has no window."""
        return not task.windowed

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
        """AUC and SIC of every sample of decays against photons, and closure of generated photons."""
        from sideband.benchmarks.problems import origin
        from sideband.benchmarks.problems.showers import evaluate

        the_task = tasks.read(task)
        origin.check(the_task, scores, template)
        return evaluate.evaluate(the_task, scores, template, closure_events)

    def control(self, task: Path, closure_events: int | None = None) -> Record:
        """Closure of photons against photons."""
        from sideband.benchmarks.problems.showers import evaluate

        return evaluate.control(tasks.read(task), closure_events)

    def rows(self, evaluation: Record) -> Iterator[Record]:
        """Closure, and AUC and SIC of every sample."""
        return records.rows(evaluation)

    def sections(self, results: "Results") -> "Iterator[Section]":
        """Sensitivity, closure, exported likelihoods, and the showers themselves."""
        from sideband.benchmarks.problems.showers import sections

        return sections.sections(results)

    def protocol(self, results: "Results") -> dict[str, str]:
        """Events, background, signal, generated showers and scores."""
        from sideband.benchmarks.problems.showers import sections

        return sections.protocol(results)

    def summary(self, results: "Results") -> "list[Table]":
        """Mean AUC of every mass."""
        from sideband.benchmarks.problems.showers import tables

        return [tables.transfer(results)]

    def drawn(self, results: "Results") -> "Table":
        """How many showers each task has, and their energies."""
        from sideband.benchmarks.problems.showers import tables

        return tables.drawn(results)

    def published(self) -> "Table":
        """Every method for showers, and its paper."""
        from sideband.benchmarks.problems.showers import tables

        return tables.published()


PROBLEM = ShowerTagging()

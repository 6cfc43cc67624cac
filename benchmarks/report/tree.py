"""The tree of a suite's runs in MLflow: the suite, its tasks, and the cells of each."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.tracking import notes, runs
from sideband.benchmarks.tracking.journal import JOURNAL, read_journal
from sideband.benchmarks.tracking.names import shown
from sideband.infer import events

KEPT = {"report/index.html": "report", "report/results.csv": "report", "suite.json": ""}  # with the suite's own run
DIGEST = "sideband.report"  # tag of that run: the files that it has


class Tree:
    """The runs above the cells, opened as cells come.

    Args:
        store: an MLflow client.
        folder: the suite's folder.
        suite: the suite.
        measured: the numbers that its cells have, as the journal calls them.
    """

    def __init__(self, store: Any, folder: Path, suite: Suite, measured: Collection[str]) -> None:
        self._store, self._folder, self._suite = store, folder, suite
        self._measured = set(map(shown, measured))
        self._runs: dict[str, str] = {}  # by place
        self._times: dict[str, list[int]] = defaultdict(list)
        for cell in suite.cells(shared=True):
            times = [line["time"] for line in read_journal(folder / cell.folder / JOURNAL)]
            for place in (suite.name, self._place(cell)):
                self._times[place] += times

    def _place(self, cell: Cell) -> str:
        return f"{self._suite.name}/{cell.task}"

    def add(self, run_id: str, cell: Cell, models: Mapping[str, str]) -> None:
        """Put a cell's run beneath its task; `models` are the addresses of its registered models by role."""
        name, experiment_id = self._suite.name, self._store.get_run(run_id).info.experiment_id
        where = cell.task.replace("/", " ")
        if name not in self._runs:
            self._describe(experiment_id)
            note = notes.suite(name, self._suite["about"])
            self._open(experiment_id, name, {runs.KIND: "suite", runs.NAME: name, runs.NOTE: note, "suite": name})
        if self._place(cell) not in self._runs:
            grid = {"suite": name, "window": cell.window, "injection": cell.injection, "seed": cell.seed}
            told = {runs.KIND: "task", runs.NAME: where, runs.NOTE: notes.task(name, where)}
            self._open(experiment_id, self._place(cell), {**told, **grid, runs.PARENT: self._runs[name]})
        note = notes.cell(name, where, cell.method, models)
        runs.tag(self._store, run_id, {runs.PARENT: self._runs[self._place(cell)], runs.NOTE: note})

    def close(self) -> None:
        """End the runs that were opened, and keep the report with the suite's."""
        for place, run_id in self._runs.items():
            self._store.set_terminated(run_id, "FINISHED", max(self._times[place]))
        files = {self._folder / path: place for path, place in KEPT.items() if (self._folder / path).is_file()}
        digest, run_id = " ".join(map(events.sha256, files)), self._runs[self._suite.name]
        if self._store.get_run(run_id).data.tags.get(DIGEST) != digest:
            for path, place in files.items():
                self._store.log_artifact(run_id, str(path), place or None)
            runs.tag(self._store, run_id, {DIGEST: digest})

    def _open(self, experiment_id: str, place: str, tags: Mapping[str, str]) -> None:
        self._runs[place] = runs.open_parent(self._store, experiment_id, place, min(self._times[place]), tags)

    def _describe(self, experiment_id: str) -> None:
        """What the experiment's page begins with."""
        table = f"#/experiments/{experiment_id}/runs?{runs.TRAINING}"
        view = f"{table}&viewStateShareKey={runs.VIEW}"
        note = notes.experiment(self._suite.name, self._suite["about"], table, view)
        views = runs.views(self._measured, min(self._times[self._suite.name]))
        # MLflow writes an experiment's tags even if they are as they were; what is up to date stays untouched.
        known = self._store.get_experiment(experiment_id).tags
        for key, value in {**runs.EXPERIMENT, runs.NOTE: note, **views}.items():
            if known.get(key) != value:
                self._store.set_experiment_tag(experiment_id, key, value)

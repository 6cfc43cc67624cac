"""The contract of problems, and who may know them by name."""

import itertools
from pathlib import Path

import pytest

from sideband.benchmarks import problems
from sideband.benchmarks.catalogue import PROBLEMS
from sideband.benchmarks.report.records import SCHEMAS

ROOT = Path(__file__).parents[2] / "benchmarks"
APART = [path for room in ("grid", "report") for path in sorted((ROOT / room).iterdir()) if path.is_file()]


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_a_room_that_fulfils_the_contract(name: str) -> None:
    problem = problems.named(name)
    assert isinstance(problem, problems.Problem)
    assert problem.events
    assert problem.sources
    assert set(problem.evaluation) == set(SCHEMAS["control"])
    assert problem is problems.named(name)


def test_the_source_of_events_decides_unless_the_suite_does() -> None:
    everything = problems.all_problems()
    assert list(everything) == list(PROBLEMS)
    for one, other in itertools.combinations(everything.values(), 2):
        assert not set(one.sources) & set(other.sources)
    for name, problem in everything.items():
        for source in problem.sources:
            assert problems.of({"dataset": {"source": source}}) == name
    assert problems.of({"dataset": {"source": "dijets"}, "problem": "showers"}) == "showers"


def test_a_task_leads_to_its_problem(small_task: Path, shower_task: Path) -> None:
    assert problems.of_task(small_task) is problems.named("search")
    assert problems.of_task(shower_task) is problems.named("showers")


@pytest.mark.parametrize("path", APART, ids=lambda path: path.name)
def test_grid_and_report_know_no_problem_by_name(path: Path) -> None:
    text = path.read_text()
    assert "showers" not in text
    assert "problems.search" not in text
    assert '"search"' not in text

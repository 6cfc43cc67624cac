"""The pages on the house name every room and every part of the contract."""

import inspect

from sideband.benchmarks.problems import Problem
from tests.docs.pages import DOCS, INLINE, ROOT


def test_every_room_is_there() -> None:
    named = set(INLINE.findall((DOCS / "house.md").read_text()))
    rooms = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__init__.py")}
    assert rooms | {"catalogue", "documents"} <= named


def test_every_part_of_a_problem_is_there() -> None:
    named = set(INLINE.findall((DOCS / "add-problem.md").read_text()))
    parts = {name for name, _ in inspect.getmembers(Problem)} | set(inspect.get_annotations(Problem))
    assert {name for name in parts if not name.startswith("_")} <= named

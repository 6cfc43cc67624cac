"""Studies as suites write them."""

from pathlib import Path
from typing import Any

import pytest

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.study import Study
from sideband.infer.errors import BadInput
from tests.benchmarks.plain import written

STEPS = {"sigma@4": {"steps": 4}, "sigma@16": {"steps": 16}}


def test_studies_are_said_by_the_suite(tmp_path: Path) -> None:
    given = [{"vary": "windows"}, {"vary": "steps", "of": ["sigma"]}]
    suite = suites.load(written(tmp_path / "mine.yaml", methods={**STEPS, "cathode": {}}, studies=given))
    assert suite.studies == [Study("windows"), Study("steps", ("sigma",))]
    assert suite.set_apart() == set(STEPS)
    assert suites.load(written(tmp_path / "mine.yaml", methods=STEPS)).set_apart() == set()


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({}, r"studies\.0: 'vary' is a required property"),
        ({"vary": "steps"}, r"studies\.0: 'steps' is a setting; 'of' must list the methods"),
        ({"vary": "windows", "of": ["sigma"]}, r"studies\.0: windows are varied for every method; remove 'of'"),
        ({"vary": "windows", "beside": ["sigma@4"]}, r"studies\.0: windows are varied .*; remove 'beside'"),
        ({"vary": "steps", "of": ["sigma"], "beside": ["iad"]}, r"studies\.0: beside: iad is no entry of the suite's"),
        ({"vary": "injections"}, r"studies\.0: varies injections, and the suite has one"),
        ({"vary": "steps", "of": ["drapes"]}, r"studies\.0: no entry drapes@LABEL of the suite sets 'steps'"),
        ({"vary": "start", "of": ["sigma"]}, r"studies\.0: sigma@x has start 'noise'; only numbers can be varied"),
    ],
)
def test_mistakes_in_studies(tmp_path: Path, study: dict[str, Any], message: str) -> None:
    methods = {**STEPS, "sigma@x": {"start": "noise"}}
    with pytest.raises(BadInput, match=message):
        suites.load(written(tmp_path / "mine.yaml", methods=methods, studies=[study]))

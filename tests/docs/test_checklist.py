"""The checklist of CONTRIBUTING.md, where no other test looks at it."""

import ast
from pathlib import Path

import pytest

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid import suite as suites
from tests.docs.pages import ROOT

METHODS = {name: entry for name, entry in catalogue.CATALOGUE.items() if not entry.variant}


def file_of(name: str) -> Path:
    (path,) = (ROOT / "train" / "methods").glob(f"*/{name}.py")
    return path


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.paper])
def test_the_docstring_of_a_method_names_its_paper(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(file_of(name).read_text())) or ""
    assert METHODS[name].paper in docstring


def test_smoke_has_every_method() -> None:
    run = {name for suite in ("smoke", "smoke_showers") for name in suites.load(suite)["methods"]}
    assert {name for name, entry in METHODS.items() if not entry.shared} <= run

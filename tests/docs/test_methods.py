"""Every method has its page, and every page's settings are those of the code."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sideband.benchmarks import catalogue
from sideband.train import methods
from sideband.train.classifiers.settings import ClassifierSettings
from tests.docs.pages import DOCS, HEADING, links, section

FOLDER = DOCS / "methods"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem != "index")
SECTIONS = ["Idea", "What is ours", "Settings", "Cost", "When to use it"]
ENTRIES = catalogue.CATALOGUE
ROW = re.compile(r"^\| `([\w.]+)` \| (.+?) \|", re.MULTILINE)


def entries(page: Path) -> dict[str, catalogue.Method]:
    """The entries of the catalogue that a page describes: those of its file."""
    return {name: entry for name, entry in ENTRIES.items() if (entry.file or name) == page.stem}


def test_every_method_has_its_page_and_every_page_its_method() -> None:
    assert {entry.file or name for name, entry in ENTRIES.items()} == {page.stem for page in PAGES}


def test_the_overview_leads_to_every_page() -> None:
    assert {page.name for page in PAGES} <= {link.partition("#")[0] for link in links(FOLDER / "index.md")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_say_what_a_reader_looks_for(page: Path) -> None:
    text = page.read_text()
    headings = HEADING.findall(text)[1:]
    assert [each for each in headings if each in SECTIONS] == SECTIONS
    described = entries(page)
    assert {entry.paper for entry in described.values() if entry.paper} <= set(re.findall(r"arXiv:[\d.]+\d", text))
    if len(described) > 1:
        assert all(f"`{name}`" in text for name in described)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_are_those_of_the_code(page: Path) -> None:
    settings = methods.load(next(iter(entries(page)))).Settings()
    text = section(page, "Settings")
    rows = dict(ROW.findall(text))
    assert rows or text.strip().startswith("None of its own.")
    check(settings, rows)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in rows:
            continue
        assert dataclasses.is_dataclass(value), f"{field.name} is missing"
        assert {f"{field.name}.{path}" for path in changed(value)} <= set(rows)


def test_common_settings_are_those_of_the_code() -> None:
    flow, matching = (methods.load(name).Settings() for name in ("sideband", "matching"))
    classifier = ClassifierSettings()
    training = type(classifier.training)()
    known = {"training": training, "flow": flow.flow, "net": matching.net, "classifier": classifier}
    for heading, settings in known.items():
        rows = dict(ROW.findall(section(DOCS / "settings.md", heading)))
        check(settings, rows)
        expected = [field.name for field in dataclasses.fields(settings)]
        assert set(expected) <= set(rows), heading


def check(settings: Any, rows: dict[str, str]) -> None:
    """Compare the defaults in a table with those of the code."""
    for path, cell in rows.items():
        value = settings
        for step in path.split("."):
            value = getattr(value, step)
        if dataclasses.is_dataclass(value):
            assert cell.startswith("see ["), path
            continue
        text = cell.strip("`")
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert float(text) == value, path
        else:
            assert text == ("null" if value is None else str(value)), path


def changed(settings: Any, prefix: str = "") -> Iterator[str]:
    """The settings whose defaults differ from those of their class."""
    usual = type(settings)()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from changed(value, f"{prefix}{field.name}.")
        elif value != getattr(usual, field.name):
            yield f"{prefix}{field.name}"

"""The page on suites lists every key and every suite."""

import json
from collections.abc import Iterator
from typing import Any

from sideband.benchmarks.grid import suite as suites
from tests.docs.pages import DOCS, INLINE

PAGE = (DOCS / "suites.md").read_text()


def keys(schema: Any) -> Iterator[str]:
    """The keys that a schema knows, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        schema = list(schema.values())
    for each in schema if isinstance(schema, list) else []:
        yield from keys(each)


def test_every_key_is_there() -> None:
    schema = json.loads((suites.SUITES / "schema.json").read_text())
    assert set(keys(schema)) <= set(INLINE.findall(PAGE))


def test_every_suite_is_there() -> None:
    assert set(suites.names()) <= set(INLINE.findall(PAGE))

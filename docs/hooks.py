"""Puts every method's page into the navigation, so that a new one needs no line in `mkdocs.yml`."""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Add the pages, in alphabetical order, after their overview."""
    pages = sorted(f"methods/{path.name}" for path in (Path(config.docs_dir) / "methods").glob("*.md"))
    section = next(entry["Methods"] for entry in config.nav if isinstance(entry, dict) and "Methods" in entry)
    section += [page for page in pages if page not in section]
    return config

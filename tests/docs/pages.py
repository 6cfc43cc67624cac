"""The pages, and what stands in them: links, headings, fenced blocks, commands."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(path for path in DOCS.rglob("*.md") if "node_modules" not in path.parts),
]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


def name(page: Path) -> str:
    """How tests call a page."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: the line after its fence, and its text."""

    line: int
    text: str


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of a page in a language."""
    text = page.read_text()
    found = FENCE.finditer(text)
    return [Block(text.count("\n", 0, each.start(2)) + 1, each[2]) for each in found if each[1] == language]


def prose(page: Path) -> str:
    """The text of a page, less its fenced blocks."""
    return FENCE.sub("", page.read_text())


def links(page: Path) -> Iterator[str]:
    """Targets of the links and images of a page."""
    return (each[1] for each in LINK.finditer(prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, so far as GitHub and MkDocs agree on them."""
    found = set()
    for each in HEADING.finditer(prose(page)):
        title = re.sub(r"[`*]", "", LINK.sub("", each[1])).strip().lower()
        github = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
        mkdocs = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())
        if github == mkdocs:
            found.add(github)
    return found


def section(page: Path, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## `?{re.escape(heading)}`?\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{name(page)}: no section '{heading}'"
    return found[1]

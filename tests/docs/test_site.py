"""The website is built from these pages by one command, and has the notebook as a page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_page_is_in_the_navigation_and_needs_no_network(site: Path) -> None:
    for page in (path for path in (ROOT / "docs").rglob("*.md") if "node_modules" not in path.parts):
        place = page.relative_to(ROOT / "docs").with_suffix("")
        folder = site / (place.parent if place.name == "index" else place)
        text = (folder / "index.html").read_text()
        assert "md-nav__link--active" in text, f"{page}: not in the navigation"
        assert not re.search(r'(src|rel="stylesheet" href)="(https?:)?//', text), f"{page}: fetches something"


def test_the_notebook_is_a_page_with_what_its_cells_gave(site: Path) -> None:
    text = (site / "notebook" / "index.html").read_text()
    assert "Search" in text
    assert "efficiency 0.001: " in text
    assert '<img alt="What the cell draws" src="data:image/png;base64,' in text
    for page in ("index.html", "python/index.html"):
        assert re.search(r'<a href="(\.\./)?notebook/">', (site / page).read_text())
    (link,) = re.findall(r'<a href="([^"]*\.ipynb)"', text)
    assert (site / "notebook" / link).resolve().is_file()

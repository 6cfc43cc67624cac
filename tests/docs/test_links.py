from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, README, ROOT, anchors, links, name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.is_file(), f"{link}: no such file"
        if page.is_relative_to(DOCS):
            assert path.is_relative_to(DOCS), f"{link}: leaves the website"
        else:
            assert path.is_relative_to(ROOT), f"{link}: leaves the repository"
        assert not anchor or anchor in anchors(path), f"{link}: no such heading"


def test_every_page_can_be_reached() -> None:
    reached, ahead = set(), [README]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        found = ((page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link)
        ahead += [path for path in found if path.suffix == ".md" and path not in reached]
    assert {name(page) for page in PAGES if page != DOCS / "index.md"} <= {name(page) for page in reached}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 120

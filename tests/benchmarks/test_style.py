import resource
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from sideband.benchmarks.report import style
from sideband.infer.errors import BadInput


def figure(text: str = "mass") -> Figure:
    drawn = Figure()
    axes = drawn.subplots()
    axes.plot([1, 2], [3, 4])
    axes.set_xlabel(style.with_unit(text, text))
    return drawn


@pytest.mark.parametrize(
    "text", ["$x$", "a$\\frac{$", "$", "_{^", "日本", "b\x01c", "two\nlines", "\udcff", "[/red]", "\\alpha"]
)
def test_any_text_can_be_drawn(tmp_path: Path, text: str) -> None:
    style.save(figure(text), tmp_path / "figure")
    assert {path.name for path in tmp_path.iterdir()} == {"figure.png", "figure.svg"}


def test_plain_text_is_left_as_it_is() -> None:
    assert style.plain("m_jj [TeV], Δφ ± 1") == "m_jj [TeV], Δφ ± 1"
    assert style.plain("$1\n") == r"\$1\n"


def test_equal_figures_are_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        style.save(figure(), tmp_path / name)
    for kind in style.KINDS:
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_figures_are_written_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "b.svg").mkdir()
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(BadInput, match=r"b.svg: cannot be written \(a folder is there\)"):
        style.save_all({tmp_path / "a": figure(), tmp_path / "b": figure()})
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.svg"}
    assert (tmp_path / "a.png").read_text() == "old"


@pytest.mark.parametrize("place", ["file/figure", "new/figure"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    """A limit on the size of files stands in for a full disk."""
    (tmp_path / "file").write_text("in the way")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(BadInput, match="cannot be written"):
            style.save(figure(), tmp_path / place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""Pieces of one suite, put together in one folder; and what a piece runs."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sideband.benchmarks.grid import merge, run
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.piece import Piece
from sideband.benchmarks.report.results import gather
from sideband.infer.errors import BadInput
from tests.benchmarks.conftest import Run
from tests.benchmarks.plain import written


def pieces(whole: Path, to: Path) -> tuple[Path, Path]:
    """A run taken apart: one piece without ANODE's cell, the other with nothing else finished."""
    one, other = to / "one", to / "other"
    for piece in (one, other):
        shutil.copytree(whole, piece)
    for method in ("cathode", "iad", "sideband"):
        shutil.rmtree(other / "3.3-3.7" / "n600" / "s1" / method)
    shutil.rmtree(one / "3.3-3.7" / "n600" / "s1" / "anode")
    (other / "3.3-3.7" / "control.json").unlink()
    return one, other


def test_pieces_make_the_whole(labelled_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite, whole = labelled_run
    one, other = pieces(whole, tmp_path)
    assert [cell.method for cell in gather(suite, one).missing] == ["anode"]
    assert merge.merge([other, one], tmp_path / "new") == suite
    assert capsys.readouterr().out == f"{other}: 1 cells taken over\n{one}: 3 cells taken over\n"
    found, expected = gather(suite, tmp_path / "new"), gather(suite, whole)
    assert not found.missing
    assert found.numbers.equals(expected.numbers)
    for path in ("task.h5", "anode/evaluation.json", "cathode/template.h5"):
        place = Path("3.3-3.7") / "n600" / "s1" / path
        times = [(folder / place).stat().st_mtime_ns for folder in (whole, tmp_path / "new")]
        assert times[0] == times[1]
    merge.merge([other], one)
    assert not gather(suite, one).missing
    merge.merge([one], one / ".." / "new")  # nothing is left to take
    assert capsys.readouterr().out.endswith(f"{one}: 0 cells taken over\n")


def test_unlike_is_not_merged(labelled_run: Run, tmp_path: Path) -> None:
    _, whole = labelled_run
    one, other = pieces(whole, tmp_path)
    with pytest.raises(BadInput, match=r"empty: holds no suite\.json"):
        merge.merge([tmp_path / "empty"], one)
    task = other / "3.3-3.7" / "n600" / "s1" / "task.h5"
    task.write_bytes(task.read_bytes() + b" ")
    with pytest.raises(BadInput, match=r"was drawn otherwise than .*; remove .*s1, and merge again"):
        merge.merge([other], one)
    suites.load(written(tmp_path / "mine.yaml")).save(other / "suite.json")
    with pytest.raises(BadInput, match=r"its suite differs in .*windows.* merge like with like"):
        merge.merge([other], one)


def test_a_piece_has_some_of_the_seeds_and_methods(tmp_path: Path) -> None:
    methods: dict[str, Any] = {"cathode": {}, "sigma": {}, "refined": {"of": "sigma"}, "anode": {}}
    suite = suites.load(written(tmp_path / "mine.yaml", methods=methods))
    piece = Piece([2], ["refined"])
    words = run._workflow(suite, tmp_path, None, 2, piece, None).command(tmp_path)[-2:]
    assert words == ["seeds=2", "methods=refined"]
    assert Piece.read(dict(word.split("=") for word in words)) == piece
    cells = piece.of(suite)
    assert {each.seed for each in cells} == {"s2"}
    assert {each.method for each in cells} == {"marginals_all", "matching", "sigma", "refined"}
    assert Piece().of(suite) == list(suite.cells(shared=True))


def test_a_piece_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    mine = str(written(tmp_path / "mine.yaml"))
    with pytest.raises(BadInput, match="--seeds 3: not in suite mine; there are: 1, 2"):
        run.run(mine, tmp_path, piece=Piece([2, 3]))
    with pytest.raises(BadInput, match="--methods sigma: not in suite mine; there are: cathode, "):
        run.run(mine, tmp_path, piece=Piece(methods=["sigma"]))

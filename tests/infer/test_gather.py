"""Parts of a template: bitwise the events of one piece, and joined only where all of them are there."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.infer import events, template
from sideband.infer.columns import SOURCE_ROW
from sideband.infer.errors import BadInput
from sideband.infer.gather import gather
from sideband.infer.model import Model
from sideband.infer.score import score
from tests.infer import graphs

COLUMNS = ["m", "x", "y"]
TOTAL = 12_345
SPLITS = [(0, 5000, TOTAL), (0, 1, 1999, 7000, 7001, TOTAL), (0, 999, 11_000, TOTAL)]


@pytest.fixture(params=["template", "morphing"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    return Model(getattr(graphs, request.param)(tmp_path / "template.onnx"))


@pytest.fixture
def toy(tmp_path: Path) -> Model:
    return Model(graphs.template(tmp_path / "template.onnx"))


def make(model: Model, task: Path, folder: Path, edges: Sequence[int], blocks: int = 1, seed: int = 1) -> list[Path]:
    paths = [folder / f"part{index}.h5" for index in range(len(edges) - 1)]
    for path, (first, end) in zip(paths, itertools.pairwise(edges), strict=True):
        template.generate(model, task, path, end - first, seed, first=first, threads=2, batch_blocks=blocks)
    return paths


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("edges", SPLITS)
def test_any_split_is_bitwise_the_one_piece(
    model: Model, toy_task: Path, tmp_path: Path, edges: Sequence[int], blocks: int
) -> None:
    whole, gathered = tmp_path / "whole.h5", tmp_path / "gathered.h5"
    template.generate(model, toy_task, whole, TOTAL, batch_blocks=blocks)
    assert gather(make(model, toy_task, tmp_path, edges, blocks)[::-1], gathered, TOTAL) == TOTAL
    ours, theirs = events.read(gathered, COLUMNS), events.read(whole, COLUMNS)
    for name in COLUMNS:
        np.testing.assert_array_equal(ours[name], theirs[name])
    with h5py.File(gathered) as one, h5py.File(whole) as other:
        assert events.attributes(one) == events.attributes(other)
        assert {name: one[name].attrs["unit"] for name in one} == {name: other[name].attrs["unit"] for name in other}
    assert gathered.stat().st_size < whole.stat().st_size / 10


def test_parts_keep_the_rows_of_their_sources(task_of_files: Path, tmp_path: Path) -> None:
    model = Model(graphs.morphing(tmp_path / "template.onnx"))
    template.generate(model, task_of_files, tmp_path / "whole.h5", TOTAL)
    gather(make(model, task_of_files, tmp_path, SPLITS[1]), tmp_path / "gathered.h5")
    ours, theirs = (events.rows_of(tmp_path / f"{name}.h5", "/", SOURCE_ROW) for name in ("gathered", "whole"))
    assert ours is not None
    np.testing.assert_array_equal(ours, theirs)


def test_a_part_says_which_events_it_holds(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    make(toy, toy_task, tmp_path, (1500, 4000))
    with h5py.File(tmp_path / "part0.h5") as file:
        assert (file.attrs["first"], file.attrs["count"], len(file["m"])) == (1500, 2500, 2500)


def test_a_gathered_template_is_scored_like_any_other(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    gather(make(toy, toy_task, folder, SPLITS[1]), tmp_path / "gathered.h5")
    template.generate(toy, toy_task, tmp_path / "whole.h5", TOTAL)
    graph = Model(graphs.score(tmp_path / "score.onnx"))
    for name in ("gathered", "whole"):
        score([graph], tmp_path / f"{name}.h5", tmp_path / f"{name}_scores.h5")
    ours, theirs = (events.read(tmp_path / f"{name}_scores.h5", ["score"])["score"] for name in ("gathered", "whole"))
    np.testing.assert_array_equal(ours, theirs)


def test_file_and_parts_move_together(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    gather(make(toy, toy_task, here, SPLITS[0]), here / "template.h5")
    before = events.read(here / "template.h5", ["x"])["x"]
    here.rename(there)
    np.testing.assert_array_equal(events.read(there / "template.h5", ["x"])["x"], before)


def test_columns_may_have_any_name(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    parts = make(toy, toy_task, tmp_path, (0, 1000, 2500))
    values = np.concatenate([events.read(path, ["x"])["x"] for path in parts])
    for path in parts:
        with h5py.File(path, "a") as file:
            file.move("x", "50 % b%d of x")
    gather(parts, tmp_path / "gathered.h5")
    np.testing.assert_array_equal(events.read(tmp_path / "gathered.h5", ["50 % b%d of x"])["50 % b%d of x"], values)


def test_missing_events_are_named(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    first, second, third = make(toy, toy_task, tmp_path, (0, 1000, 2500, 3000))
    out = tmp_path / "out.h5"
    with pytest.raises(BadInput, match=r"1500 events from event 1000 on are in no part; .* --first 1000 --count 1500"):
        gather([first, third], out)
    with pytest.raises(BadInput, match="1000 events from event 0 on are in no part"):
        gather([third, second], out)
    with pytest.raises(BadInput, match="500 events from event 2500 on are in no part"):
        gather([first, second], out, 3000)
    with pytest.raises(BadInput, match="--count 2000: the parts hold 2500 events"):
        gather([first, second], out, 2000)
    assert not out.exists()


def test_overlaps_and_foreign_parts_are_refused(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    first, second = make(toy, toy_task, tmp_path, (0, 1000, 2000))
    (overlap,) = make(toy, toy_task, tmp_path / "overlap", (999, 2000))
    (foreign,) = make(toy, toy_task, tmp_path / "foreign", (2000, 3000), seed=2)
    (batch,) = make(toy, toy_task, tmp_path / "batch", (2000, 3000), blocks=2)
    out = tmp_path / "out.h5"
    for paths in ([first, overlap], [first, second, second]):
        with pytest.raises(BadInput, match=r"begins at event \d+, which .* holds too"):
            gather(paths, out)
    with pytest.raises(BadInput, match=r"foreign/part0\.h5: its seed is 2, and that of .*part0\.h5 is 1"):
        gather([first, second, foreign], out)
    with pytest.raises(BadInput, match="its batch is 2000"):
        gather([first, second, batch], out)
    with pytest.raises(BadInput, match="not a part of a template"):
        gather([first, toy_task], out)
    gather([first, second], out)
    with pytest.raises(BadInput, match="is gathered itself"):
        gather([out], tmp_path / "again.h5")
    with pytest.raises(BadInput, match="is an input of this command"):
        gather([first, second], first)
    percent = first.rename(tmp_path / "50%b.h5")
    with pytest.raises(BadInput, match="no file with % in its name"):
        gather([percent, second], out)


def test_a_gathered_template_is_not_read_without_all_its_parts(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    first, second = make(toy, toy_task, tmp_path, (0, 1000, 2000))
    out = tmp_path / "out.h5"
    gather([first, second], out)
    kept = second.rename(tmp_path / "kept.h5")
    with pytest.raises(BadInput, match=r"column 'x' lies in parts, and one is not there \(.*part1\.h5: no such file\)"):
        events.read(out, ["x"])
    with h5py.File(out) as file:  # nor do other programs find events
        assert np.isnan(file["x"][1000:]).all()
    make(toy, toy_task, tmp_path / "other", (1000, 2000), seed=2)[0].rename(second)
    with pytest.raises(BadInput, match=r"part1\.h5 is not the one that was gathered"):
        events.read(out, ["x"])
    make(toy, toy_task, tmp_path / "other", (0, 1000))[0].rename(second)
    with pytest.raises(BadInput, match=r"part1\.h5 is not the one that was gathered"):
        events.read(out, ["x"])
    kept.rename(second)
    assert len(events.read(out, ["x"])["x"]) == 2000
    second.write_bytes(second.read_bytes()[:-100])
    with pytest.raises(BadInput, match="lies in parts"):
        events.read(out, ["x"])


def test_parts_that_refer_to_each_other_are_refused(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    first, second = make(toy, toy_task, tmp_path, (0, 1000, 2000))
    out = tmp_path / "out.h5"
    gather([first, second], out)
    first.write_bytes(out.read_bytes())
    with pytest.raises(BadInput, match=r"part0\.h5 is not the one that was gathered"):
        events.read(out, ["x"])


def test_what_cannot_be_a_part_is_refused(toy: Model, toy_task: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    with pytest.raises(BadInput, match="--first 1000: say how many events with --count"):
        template.generate(toy, toy_task, out, first=1000)
    template.generate(toy, toy_task, tmp_path / "torch.h5", 500)
    with pytest.raises(BadInput, match="--first 1000: --expect holds a template from event 0 on alone"):
        template.generate(toy, toy_task, out, 500, first=1000, expected=tmp_path / "torch.h5")
    assert not out.exists()

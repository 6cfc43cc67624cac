from pathlib import Path

import pytest
import torch

from sideband.infer.errors import BadInput
from sideband.train.files import Damaged
from sideband.train.run import check_checkpoints, check_folder, enough_memory, remove_checkpoints
from tests.train.conftest import NewRun


@pytest.mark.parametrize("place", ["new", "new/and/deep", "."])
def test_a_folder_that_can_be_written_is_left_as_it_was(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_folder(Path(place))
    check_folder(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/inside", "/proc/inside", "/dev/null", "x" * 256, "new/" + "x" * 256])
def test_a_folder_that_cannot_be_written_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        check_folder(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_checkpoints_get_a_folder_of_their_own(new_run: NewRun, tmp_path: Path) -> None:
    run = new_run()
    check_checkpoints(run.checkpoints)
    with run.checkpoint("flow.pt") as temporary:
        temporary.write_text("a checkpoint")
    (run.checkpoints / ".flow.pt.tmp").touch()  # left by a kill
    check_checkpoints(run.checkpoints)
    (run.checkpoints / "thesis.tex").touch()
    with pytest.raises(BadInput, match="holds other files"):
        check_checkpoints(run.checkpoints)
    weights = tmp_path / "weights"
    weights.mkdir()
    check_checkpoints(weights)
    (weights / "model.pt").touch()  # a user's file, although its name could be ours
    with pytest.raises(BadInput, match="holds other files"):
        check_checkpoints(weights)


def test_only_checkpoints_of_the_same_work_are_resumed(new_run: NewRun) -> None:
    run, other = new_run(), new_run()
    other.work = "other settings"
    with run.checkpoint("flow.pt") as temporary:
        temporary.write_text("a checkpoint")
    assert run.unfinished("flow.pt", Path.read_text) == "a checkpoint"
    assert run.unfinished("other.pt", Path.read_text) is None
    assert other.unfinished("flow.pt", Path.read_text) is None
    assert (run.checkpoints / "flow.pt").exists()  # until another checkpoint replaces it
    with other.checkpoint("critic.pt") as temporary:
        temporary.write_text("another")
    assert run.unfinished("flow.pt", Path.read_text) is None
    assert {path.name for path in run.checkpoints.iterdir()} == {"of", "critic.pt"}


def test_a_damaged_checkpoint_is_reported_and_ignored(new_run: NewRun, capsys: pytest.CaptureFixture[str]) -> None:
    def torn(path: Path) -> str:
        raise Damaged("its end is missing")

    run = new_run()
    with run.checkpoint("flow.pt") as temporary:
        temporary.touch()
    assert run.unfinished("flow.pt", torn) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"toy: {run.checkpoints / 'flow.pt'} is damaged (its end is missing)")


def test_the_mark_of_checkpoints_goes_last(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill in between, the folder is still recognised as one of checkpoints."""
    run = new_run()
    for name in ("a.pt", "z.npz"):
        with run.checkpoint(name) as temporary:
            temporary.touch()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *given, **named: None)
        remove_checkpoints(run.checkpoints)
    assert [path.name for path in run.checkpoints.iterdir()] == ["of"]
    check_checkpoints(run.checkpoints)
    remove_checkpoints(run.checkpoints)
    assert not run.checkpoints.exists()


def test_a_lack_of_memory_is_reported_as_such() -> None:
    with pytest.raises(MemoryError, match="allocate"), enough_memory():
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="size"), enough_memory():
        torch.ones(2) @ torch.ones(3)

"""No command replaces what it reads, or anything that is not a plain file."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sideband.infer import events
from sideband.infer.errors import BadInput
from tests.conftest import Outcome
from tests.infer import graphs

Command = Callable[..., Outcome]


def linked(path: Path, out: Path) -> None:
    os.link(path, out)


def pointed(path: Path, out: Path) -> None:
    out.symlink_to(path)


@pytest.mark.parametrize("make", [linked, pointed])
@pytest.mark.parametrize("verb", ["template", "score", "throughput"])
def test_an_input_by_any_name_is_not_an_output(
    command: Command, toy_task: Path, tmp_path: Path, verb: str, make: Callable[[Path, Path], None]
) -> None:
    task, out = tmp_path / "task.h5", tmp_path / "other name.h5"
    task.write_bytes(toy_task.read_bytes())
    model = graphs.template(tmp_path / "m.onnx") if verb == "template" else graphs.score(tmp_path / "m.onnx")
    given = {"score": ("--events", task, "--group", "data")}.get(verb, ("--task", task))
    for read in (task, model):
        make(read, out)
        for name in (read, tmp_path / "." / out.name):
            line = command("infer", verb, model, *given, "--out", name).refused()
            assert "is an input of this command" in line or "a symbolic link is there" in line
        out.unlink()
    assert task.read_bytes() == toy_task.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"task.h5", "m.onnx"}


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nothing")
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("link", "a symbolic link"), ("link/x", "")):
        with pytest.raises(BadInput, match=f"cannot be written .*{kind}"), events.atomic(tmp_path / name) as temporary:
            temporary.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder", "link"}
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with pytest.raises(BadInput, match="a device is there"), events.new_file(device):
        pass
    assert stat.S_ISCHR(device.stat().st_mode)


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "n" * 300, "/proc/none/out.h5", "file/out.h5", "n" * 5000])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    with pytest.raises(BadInput, match=r"cannot be written|not the name of a file"), events.new_file(name):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_made_for_a_refused_output_go_again(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(BadInput), events.atomic(tmp_path / "old" / "new" / "newer" / "out.txt"):
        raise BadInput("no")
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]

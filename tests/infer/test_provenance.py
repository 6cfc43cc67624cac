import subprocess
from pathlib import Path

import pytest

from sideband.infer import provenance


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return tmp_path


def test_commit_loose_packed_detached_and_none(repository: Path, tmp_path: Path) -> None:
    git, commit = repository / ".git", "0123456789" * 4
    assert provenance._commit(repository) == "no-git"
    (git / "packed-refs").write_text(f"# pack-refs\n{'f' * 40} refs/heads/other\n{commit} refs/heads/main\n")
    assert provenance._commit(repository) == commit
    (git / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    assert provenance._commit(repository) == "a" * 40
    (git / "HEAD").write_text("b" * 40 + "\n")
    assert provenance._commit(repository) == "b" * 40
    assert provenance._commit(tmp_path / "elsewhere") == "no-git"


def test_code_changes_with_the_source_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "infer"
    package.mkdir()
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    identity = provenance.code.__wrapped__
    empty = identity()
    (package / "a.py").write_text("one = 1\n")
    one = identity()
    (package / "a.py").write_text("one = 2\n")
    two = identity()
    (package / "a.py").rename(package / "b.py")
    assert len({empty, one, two, identity()}) == 4
    (package / "notes.txt").write_text("not code")
    (package / "b.py").rename(package / "a.py")
    assert identity() == two


def test_record_is_flat_and_names_libraries_and_machine() -> None:
    record = provenance.record()
    assert {"code", "version_python", "version_numpy", "version_onnxruntime", "processor", "cores", "gpu"} <= {*record}
    assert all(isinstance(value, str | int) for value in record.values())
    assert provenance.peak_memory_mib() > 10


def test_no_gpu_tool_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", absent)
    assert provenance._gpu() == ""

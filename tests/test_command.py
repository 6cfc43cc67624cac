"""The command `sideband`: every command of the packages under one name, with its mistakes and its completion."""

import argparse
import importlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from sideband.__main__ import main
from sideband.benchmarks.commands import COMMANDS
from sideband.infer import called
from sideband.infer.errors import BadInput
from tests.conftest import ToyEvents

ROOT = Path(__file__).parents[1]
THROUGH = ["fit", "train fit", "train check", "train peer", "export cell", "export compare"]
THROUGH += [f"infer {name}" for name in ("template", "score", "throughput", "describe", "check")]


@pytest.mark.parametrize("words", [*COMMANDS, *THROUGH])
def test_every_command_is_there(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sideband", *words.split(), "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert f"usage: sideband {words}" in capsys.readouterr().out


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


def test_every_command_and_every_argument_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[argparse.ArgumentParser] = []
    monkeypatch.setattr("sideband.__main__.execute", lambda parser: found.append(parser) or 0)
    assert main() == 0
    everything = list(parsers(found[0]))
    assert len(everything) > len(COMMANDS) + len(THROUGH)
    assert [each.prog for each in everything if not each.description] == []
    arguments = [(each.prog, action) for each in everything for action in each._actions]
    groups = [f"sideband{name}" for name in ("", " train", " export", " infer")]
    assert {prog for prog, action in arguments if not action.help} == {*groups}  # their commands have help


def test_a_command_runs(
    toy_events: ToyEvents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = toy_events(tmp_path / "events.h5", 100)
    monkeypatch.setattr(sys, "argv", ["sideband", "validate", str(path), "--mass", "m_vis"])
    assert main() == 0
    assert "valid; 100 events" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["sideband", "validate", str(path)])
    with pytest.raises(BadInput, match="rules of the events layout broken"):
        main()
    monkeypatch.setattr(sys, "argv", ["sideband", "train", "check", "smoke"])
    assert main() == 0


def test_it_tells_its_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for known, said in (("1.2.3", "sideband 1.2.3"), (None, "sideband, not installed")):

        def found(name: str, known: str | None = known) -> str:
            if known is None:
                raise metadata.PackageNotFoundError(name)
            return known

        monkeypatch.setattr(metadata, "version", found)
        monkeypatch.setattr(sys, "argv", ["sideband", "--version"])
        with pytest.raises(SystemExit) as left:
            main()
        assert (left.value.code, capsys.readouterr().out) == (0, f"{said}\n")


def test_citation_and_package_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in project["authors"]]
    assert citation["keywords"] == project["keywords"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_a_mistake_names_the_command_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    for typed, said in (("infer template x", "sideband infer template"), ("fit", "sideband fit"), ("rum", "sideband")):
        monkeypatch.setattr(sys, "argv", ["sideband", *typed.split()])
        with pytest.raises(BadInput, match=f"; `{said} --help` lists what there is"):
            main()


@pytest.mark.parametrize("module", ["sideband", "sideband.infer", "infer"])
def test_modules_are_named_as_they_were_typed(module: str) -> None:
    more = ["infer"] if module == "sideband" else []
    done = subprocess.run(
        [sys.executable, "-m", module, *more, "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"; `{' '.join(['python -m', module, *more])} check --help` lists what there is" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("typed", ["sideband infer", "-m sideband infer", "-m sideband.infer", "-m infer"])
def test_hints_name_commands_as_they_are_typed(typed: str, tmp_path: Path) -> None:
    """The script is what pip writes: a file of this name, which calls `command`."""
    (tmp_path / "sideband").write_text("from sideband.__main__ import command; command()")
    (tmp_path / "score.onnx").write_text("not a graph")
    words = typed.replace("sideband", str(tmp_path / "sideband")) if typed.startswith("sideband") else typed
    asked = [sys.executable, *words.split(), "check", str(tmp_path / "score.onnx")]
    own = {name: value for name, value in os.environ.items() if name != called.CALLED} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False, env=own)
    assert done.returncode == 2
    start = typed if typed.startswith("sideband") else f"python {typed}"
    assert f"is it a file of `{start.replace('infer', 'export')}`?" in done.stderr


@pytest.mark.parametrize(
    ("first", "hints"),
    [
        ("sideband", ("sideband infer check", "sideband run")),
        ("python -m sideband", ("python -m sideband infer check", "python -m sideband run")),
        ("python -m train", ("python -m infer check", "python -m benchmarks run")),
        ("python -m sideband.train", ("python -m sideband.infer check", "python -m sideband.benchmarks run")),
    ],
)
def test_steps_of_a_run_name_commands_as_the_run_was_typed(
    first: str, hints: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(called.CALLED, first)
    assert (called.called("infer", "check"), called.called("benchmarks", "run")) == hints


def test_the_script_is_this_command() -> None:
    module, _, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["sideband"].partition(
        ":"
    )
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(("typed", "offered"), [("sideband repo", "report"), ("sideband infer thr", "throughput")])
def test_a_shell_completes_commands(typed: str, offered: str, tmp_path: Path) -> None:
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": typed, "COMP_POINT": str(len(typed)), "_ARGCOMPLETE_IFS": "\n"}
    asked |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "found")}
    subprocess.run([sys.executable, "-m", "sideband"], env={**os.environ, **asked}, check=True)
    assert (tmp_path / "found").read_text().split() == [offered]

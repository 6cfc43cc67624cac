"""Commands in the pages: each is given to the argument parser that will read it; `test_shell` can run them."""

import importlib
import os
import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid import suite as suites
from sideband.infer.arguments import Parser
from tests import compose
from tests.docs.pages import INLINE, PAGES, ROOT, blocks, name, prose

PACKAGES = ("infer", "benchmarks", "train", "export")
OTHERS = (  # that are not ours
    *("mlflow ui --backend-store-uri", "mlflow models serve -m models:/", "export MLFLOW_TRACKING_URI=", "curl "),
    *("pip install", "pre-commit install", 'eval "$(register-python-argcomplete sideband)"'),
    *("apptainer exec docker-daemon:sideband-infer", "apt-get install"),
    "docs/deploy/cpp/build/sideband_score",
)
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([\w./]+):", MAKEFILE.replace("$(VENV)", ".venv"), re.MULTILINE))
VARIABLES = set(re.findall(r"^(\w+) \?=", MAKEFILE, re.MULTILINE))


class Parsed(Exception):
    """What a parser has made of a command line."""

    def __init__(self, arguments: Namespace) -> None:
        self.arguments = arguments


def written(page: Path) -> Iterator[str]:
    """Whole commands of a page: lines of its shell blocks, and code in its text that calls make or Docker."""
    yield from (line for block in blocks(page, "sh") for line in block.text.splitlines() if line.strip())
    if page.name != "CHANGELOG.md":
        yield from (
            code for code in INLINE.findall(prose(page)) if re.match(r"(\w+=\S+ )*(make|docker compose) ", code)
        )


def begun(page: Path) -> Iterator[tuple[str, str]]:
    """Package and command of every `python -m …` in a page's text, which may leave out what follows."""
    if page.name != "CHANGELOG.md":  # it names what is gone
        yield from re.findall(r"`python -m (?:sideband\.)?(\w+) (\w+)", prose(page))


def parse(monkeypatch: pytest.MonkeyPatch, package: str, arguments: list[str]) -> Namespace:
    read = Parser.parse_args

    def stop(self: Parser, *given: Any, **named: Any) -> NoReturn:
        raise Parsed(read(self, *given, **named))

    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", [package or "sideband", *arguments])
        patched.setattr(Parser, "parse_args", stop)
        with pytest.raises(Parsed) as found:
            importlib.import_module(f"sideband.{package}.__main__".replace("..", ".")).main()
    return found.value.arguments


def check_ours(monkeypatch: pytest.MonkeyPatch, package: str, arguments: list[str]) -> None:
    parsed = parse(monkeypatch, package, arguments)
    suite, method = getattr(parsed, "suite", None), getattr(parsed, "method", None)
    assert suite is None or suite in suites.names() or suite.endswith(".yaml"), f"no suite {suite}"
    if method is not None:
        catalogue.get(method)


def check_make(arguments: list[str]) -> None:
    for argument in arguments:
        variable, is_set, _ = argument.partition("=")
        assert variable in (VARIABLES if is_set else TARGETS), argument


def check_compose(arguments: list[str]) -> None:
    files = [arguments[at + 1] for at, each in enumerate(arguments) if each == "-f"] or ["docker-compose.yml"]
    services = {name for file in files for name in compose.services(file)}
    rest = [each for at, each in enumerate(arguments) if each != "-f" and arguments[at - 1] != "-f"]
    options = {each for each in rest if each.startswith("-")}
    command, *named = (each for each in rest if each not in options)
    assert command in ("up", "down", "build")
    assert options <= {"--build", "--exit-code-from"}
    assert set(named) <= services


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in written(page):
        words = shlex.split(line.replace(".venv/bin/", ""), comments=True)
        while words and re.match(r"\w+=", words[0]):
            words.pop(0)
        match words:
            case ["make", *rest]:
                check_make(rest)
            case ["docker", "compose", *rest]:
                check_compose(rest)
            case ["python", "-m", "pytest", *rest]:
                assert all((ROOT / path).exists() for path in rest if path.startswith("tests")), line
            case ["sideband", *rest] | ["python", "-m", "sideband", *rest]:
                check_ours(monkeypatch, "", rest)
            case ["python", "-m", module, *rest] if module.removeprefix("sideband.") in PACKAGES:
                check_ours(monkeypatch, module.removeprefix("sideband."), rest)
            case ["python" | "cmake" | "npm" | "node", *rest] if "docs/deploy" in line:
                named = [each for each in rest if each.startswith("docs/") and "/build" not in each]
                assert all((ROOT / each).exists() for each in named), line
            case [script, *_] if script.startswith(".ci/"):
                assert os.access(ROOT / script, os.X_OK), line
            case _:
                assert line.startswith(OTHERS), f"nobody knows how to check: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_the_text_exist(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package, command in begun(page):
        assert package in PACKAGES, package
        monkeypatch.setattr(sys, "argv", [package, command, "--help"])
        with pytest.raises(SystemExit) as left:
            importlib.import_module(f"sideband.{package}.__main__").main()
        assert left.value.code == 0, f"{package} {command}"
    capsys.readouterr()

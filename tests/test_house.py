"""Files and functions stay small enough to be read in one go."""

import ast
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_FILE, MEDIAN, LONGEST_FUNCTION = 300, 130, 60
PARSERS = {"benchmarks/__main__.py", "infer/__main__.py", "train/__main__.py", "export/__main__.py"}
SETS_UP = {"add_commands", "add_fit"}


def files() -> dict[str, str]:
    found = (path for room in ("infer", "benchmarks", "train", "export", "api") for path in (ROOT / room).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in found}


def test_files_are_short() -> None:
    lines = {name: text.count("\n") for name, text in files().items()}
    assert not {name: number for name, number in lines.items() if number > LONGEST_FILE}
    assert statistics.median(lines.values()) <= MEDIAN


def test_functions_are_short() -> None:
    """All but those that do nothing but set up a command line."""
    long = {
        f"{name}:{node.name}": node.end_lineno - node.lineno + 1
        for name, text in files().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
        if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION and not (name in PARSERS and node.name in SETS_UP)
    }
    assert not long

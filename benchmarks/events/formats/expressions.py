"""Columns and cuts that a suite gives as Python expressions of a file's columns, as uproot has them."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sideband.benchmarks.events.formats import Chunk, Reader, plain
from sideband.infer import events
from sideband.infer.errors import BadInput, in_one_line


@dataclass(frozen=True)
class Column:
    """One column of a data set.

    Args:
        name: what Sideband calls it.
        expression: what it is in terms of the file's columns; its name alone for a column of the file.
        unit: its unit; "" to take that of the file.
    """

    name: str
    expression: str
    unit: str = ""

    @classmethod
    def of(cls, given: str | Mapping[str, str]) -> "Column":
        """A column as a suite gives it: its name, or a section with `column`, `expression` and `unit`."""
        if isinstance(given, str):
            return cls(given, given)
        return cls(given["column"], given.get("expression", given["column"]), given.get("unit", ""))

    @classmethod
    def told(cls, given: str) -> "Column":
        """A column as a command line gives it, NAME or NAME=EXPRESSION; raises `BadInput` if the name is none."""
        name, expression = named.groups() if (named := re.fullmatch(r"(\w+)=(?!=)(.+)", given)) else (given, given)
        if "/" in name:
            raise BadInput(f"column '{given}': is no name for a column; give a name to it, as in NAME={given}")
        return cls(name, expression)


def symbols(path: Path, expression: str, there: Sequence[str]) -> list[str]:
    """The columns of a file that an expression reads.

    Args:
        path: the file, for messages.
        expression: the name of a column, or Python: numbers, operators, comparisons joined by & and |, indices, and
            numpy's mathematical functions. `get("…")` is a column whose name is no Python name.
        there: the names of the file's columns.

    Raises:
        BadInput: it is no such expression, or names a column that is not there.
    """
    if expression in there:
        return [expression]
    if expression.isidentifier():
        raise BadInput(f"{path}: no column {expression!r} (columns there: {events.listed(there)})")
    _check_safe(path, expression)
    language, errors = _language()
    try:
        return list(dict.fromkeys(language.free_symbols(expression, there, [], str(path), "")))
    except errors as error:
        missing = str(error).split("\n")[0]
        raise BadInput(f"{path}: {expression!r}: {missing} (columns there: {events.listed(there)})") from error
    except TypeError as error:
        raise BadInput(f"{path}: {expression!r}: {in_one_line(error)}") from error


def chunks(path: Path, reader: Reader, expressions: Iterable[str]) -> Iterator[Chunk]:
    """The columns that expressions read, each once, in chunks; raises `BadInput` as `symbols` does."""
    there = list(reader.units)
    names = dict.fromkeys(name for each in expressions for name in symbols(path, each, there))
    yield from reader.chunks(list(names))


def values(path: Path, expression: str, chunk: Chunk) -> Any:
    """What an expression comes to for each event of a chunk; raises `BadInput` where it cannot be worked out."""
    if expression in chunk:
        return chunk[expression]
    names = symbols(path, expression, list(chunk))
    tree = SimpleNamespace()
    branches = [SimpleNamespace(name=name, cache_key=name, parent=tree) for name in names]
    context = [(expression, {"is_primary": True, "is_cut": False, "branches": branches})]
    language, _ = _language()
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused later, with its row
            found = language.compute_expressions(tree, chunk, context, set(chunk), {}, str(path), "")[expression]
            found = plain(found)
    except Exception as error:  # numpy and awkward raise nearly anything
        why = in_one_line(error).split(" (in compiled code")[0]  # of awkward, with a place in its source
        hint = next((hint for text, hint in HINTS.items() if text in why), "")
        raise BadInput(f"{path}: {expression!r} cannot be worked out ({why}){hint}") from error
    if not names:
        raise BadInput(f"{path}: {expression!r} names no column; give an expression of columns")
    return found


def _language() -> tuple[Any, Any]:
    """Uproot's language, and the error it raises for unknown names; imported where an expression is used."""
    import uproot

    return uproot.language.python.python_language, uproot.KeyInFileError


# What to do about errors, by what numpy and awkward say.
HINTS = {
    "ambiguous": "; join conditions by & and |, each in brackets",
    "index out of range": "; keep the events that have it with dataset.cut",
}
ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Attribute, ast.Constant, ast.Subscript,
    ast.Slice, ast.Tuple, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context,
)  # fmt: skip


def _check_safe(path: Path, expression: str) -> None:
    """Refuse what is more than arithmetic: expressions are evaluated as Python, and suites come from anywhere."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadInput(f"{path}: {expression!r} is neither a column nor an expression of columns") from None
    for node in ast.walk(tree):
        dotted = not isinstance(node, ast.Attribute) or isinstance(node.value, ast.Name | ast.Attribute)
        if _is_endless(node):
            raise BadInput(f"{path}: {expression!r}: a power of numbers alone, with a large exponent; write the number")
        if isinstance(node, ast.BoolOp):
            raise BadInput(f"{path}: {expression!r}: join conditions by & and |, each in brackets")
        if not isinstance(node, ALLOWED) or not dotted or (isinstance(node, ast.Call) and node.keywords):
            raise BadInput(f"{path}: {expression!r}: {type(node).__name__} has no place in an expression of columns")


def _is_endless(node: ast.AST) -> bool:
    """Whether a node is such a power or shift of numbers as Python would work out for ever."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift)):
        return False
    small = (
        isinstance(node.right, ast.Constant) and isinstance(node.right.value, int | float) and node.right.value < 100
    )
    return not small and not any(isinstance(inner, ast.Name) for inner in ast.walk(node))

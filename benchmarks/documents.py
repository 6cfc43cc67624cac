"""YAML and JSON that people write and edit, read strictly: whatever is not plain is refused with its place, at once.

Plain are mappings with text keys, lists, text, finite numbers, booleans and null. Aliases are followed, within a bound
on all that they stand for; tags and merge keys are not.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from sideband.infer.errors import BadInput, in_one_line

MOST_BYTES = 500_000
MOST_VALUES = 5_000  # with what aliases stand for
DEEPEST = 20  # mappings and lists within each other
_TOO_DEEP = f"nested deeper than {DEEPEST} levels"
MOST_DIGITS = 40  # of a whole number

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null")}
_CONTROL = re.compile("[\0-\b\v-\x1f\x7f\ud800-\udfff]")  # all but tabs and the ends of lines


def read(path: Path) -> Any:
    """Read a file, as JSON if its name ends in .json and as YAML otherwise.

    Raises:
        BadInput: a file that cannot be read, is too large, or holds more than plain values.
    """
    text = _text(path)
    kind = "JSON" if path.suffix == ".json" else "YAML"
    try:
        content = _json(text) if kind == "JSON" else yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadInput(f"{path}: {place}{problem[:300]}") from error
    except RecursionError as error:
        raise BadInput(f"{path}: {_TOO_DEEP}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two from numbers like 0b_ and escapes
        raise BadInput(f"{path}: not {kind} that can be read ({in_one_line(error)})") from error
    _check(content, path)
    return content


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as handle:
            content = handle.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise BadInput(f"{path}: larger than {MOST_BYTES // 1000} kB; suites are a hundred times smaller")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not text in UTF-8 (at byte {error.start}); save it as that") from error


def _json(text: str) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if twice is not None:
            raise ValueError(f"key '{twice}' stands there twice; remove one")
        return dict(pairs)

    def whole(digits: str) -> int:
        if len(digits) > MOST_DIGITS:
            raise ValueError(f"a whole number of {len(digits)} digits")
        return int(digits)

    return json.loads(text, object_pairs_hook=mapping, parse_int=whole)


def _check(value: Any, path: Path, place: tuple[str, ...] = ()) -> None:
    """Refuse numbers that are not finite, and characters that no name has and no report can show."""
    wrong = ""
    if len(place) > DEEPEST:
        wrong = _TOO_DEEP
    elif isinstance(value, dict):
        for key, inner in value.items():
            if _CONTROL.search(key) or re.search(r"[\t\n]", key):
                wrong = f"control characters in the key {key[:40]!r}"
            _check(inner, path, (*place, key[:40]))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check(inner, path, (*place, str(index)))
    elif isinstance(value, str) and _CONTROL.search(value):
        wrong = f"control characters in {value[:40]!r}"
    elif isinstance(value, float) and not math.isfinite(value):
        wrong = f"{value} is not a finite number"
    if wrong:
        raise BadInput(f"{path}: {'.'.join(place) or 'at the top'}: {wrong}")


class _Loader(yaml.SafeLoader):
    """Refuses while it reads what would be costly, or would mean something else than it seems to."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[yaml.Node, int] = {}  # values of a node with all that is in it, for its aliases

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node, within the bounds."""
        event, before = self.peek_event(), self._values  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise _refusal(event, f"the tag {event.tag!r}: only plain values are read; remove it")
        self._depth += 1
        if self._depth > DEEPEST:
            raise _refusal(event, _TOO_DEEP)
        node = super().compose_node(parent, index)
        self._depth -= 1
        assert node is not None
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _refusal(event, f"the alias *{event.anchor} stands within what it names")
            self._values += self._sizes[node]
        else:
            self._values += 1
            self._sizes[node] = self._values - before
            _check_scalar(node)
        if self._values > MOST_VALUES:
            raise _refusal(event, f"more than {MOST_VALUES} values, with what aliases stand for")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping whose keys are text, each there once."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not (isinstance(key, yaml.ScalarNode) and key.tag == _TAG + "str"):
                raise _refusal(key, "a key that is not text; put it in quotes")
            if key.value in lines:
                raise _refusal(key, f"key '{key.value[:100]}' stands in line {lines[key.value]} already; remove one")
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def _check_scalar(node: yaml.Node) -> None:
    if node.tag not in _PLAIN:
        kind = {"timestamp": "a date", "merge": "a merge key"}.get(node.tag.removeprefix(_TAG), "no plain value")
        raise _refusal(node, f"'{node.value}' is {kind} in YAML; put it in quotes, or write out what it stands for")
    if node.tag == _TAG + "int" and len(node.value) > MOST_DIGITS:
        raise _refusal(node, f"a whole number of {len(node.value)} digits")


def _refusal(place: Any, problem: str) -> yaml.MarkedYAMLError:
    """The refusal of a node or an event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)

import json
import time
from pathlib import Path

import pytest
import yaml

from sideband.benchmarks import documents
from sideband.benchmarks.grid import suite
from sideband.infer.errors import BadInput

BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 30)
)


@pytest.mark.parametrize("path", sorted(suite.SUITES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_suites_that_ship_are_read_as_yaml_reads_them(path: Path) -> None:
    assert documents.read(path) == yaml.safe_load(path.read_text())


def test_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: &x {b: [1, -2.5, true, null, 'text', é]}\nc: *x\n'3': |\n  two\n  lines\n")
    inner = {"b": [1, -2.5, True, None, "text", "é"]}
    assert documents.read(path) == {"a": inner, "c": inner, "3": "two\nlines\n"}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"a": [1, 1e-5, None], "b": {"c": "é"}}))
    assert documents.read(path) == {"a": [1, 1e-5, None], "b": {"c": "é"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "line 4: more than 5000 values"),
        ("a: &a [*a]\n", "line 1: the alias *a stands within what it names"),
        ("a: " + "[" * 100_000, "line 1: nested deeper than 20 levels"),
        ("\n".join(" " * level + "a:" for level in range(500)), "line 20: nested deeper than 20 levels"),
        ("a: " + "9" * 5000, "line 1: a whole number of 5000 digits"),
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' stands in line 1 already"),
        ("a: {b: 1, c: 2, b: 3}\n", "line 1: key 'b' stands in line 1 already"),
        ("a: 1\n---\nb: 2\n", "line 2: expected a single document"),
        ("a: !!python/object/apply:os.system [x]\n", "line 1: the tag"),
        ("a: !!set {b}\n", "line 1: the tag"),
        ("a: &a {x: 1}\nb: {<<: *a}\n", "line 2: '<<' is a merge key in YAML"),
        ("a: 1\n1: 2\n", "line 2: a key that is not text"),
        ("? [a]\n: 2\n", "line 1: a key that is not text"),
        ("? \n: 2\n", "line 1: a key that is not text"),
        ("a: 2024-01-31\n", "line 1: '2024-01-31' is a date in YAML"),
        ("a: 2024-99-99\n", "is a date in YAML"),
        ("a: \0\n", "not YAML that can be read"),
        ('a: "\\0"\n', "a: control characters in"),
        ('a: ["\\ud800"]\n', "a.0: control characters in"),
        ('"a\\tb": 1\n', "control characters in the key"),
        ('a: "\\UFFFFFFFF"\n', "not YAML that can be read"),
        ("a: 0b_\n", "not YAML that can be read"),
        ("a: [1, .nan]\n", "a.1: nan is not a finite number"),
        ("a: 1.0e+999\n", "a: inf is not a finite number"),
        ("a: [1", "line 1: while parsing a flow sequence"),
        ("a: *b\n", "line 1: found undefined alias"),
        ("a: [" + "1," * 100_000 + "]", "more than 5000 values"),
        ("#" * 1_000_001, "larger than 500 kB"),
    ],
    ids=lambda value: value[:20] if len(value) < 100 else f"{value[:8]}…",
)
def test_what_is_not_plain_costs_nothing(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    begun = time.process_time()
    with pytest.raises(BadInput) as refused:
        documents.read(path)
    assert time.process_time() - begun < 1
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": [1', "not JSON that can be read"),
        ("", "not JSON that can be read"),
        ('{"a": 1, "a": 2}', "key 'a' stands there twice"),
        ("[" * 100_000, "nested deeper than 20 levels"),
        ('{"a":' * 50 + "1" + "}" * 50, "nested deeper than 20 levels"),
        ('{"a": NaN}', "a: nan is not a finite number"),
        ('{"a": 1e999}', "a: inf is not a finite number"),
        ('{"a": ' + "9" * 5000 + "}", "a whole number of 5000 digits"),
        ('{"a": "\\ud800"}', "a: control characters"),
    ],
)
def test_json_is_held_to_the_same(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "suite.json"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        documents.read(path)
    assert said in str(refused.value)


def test_files_that_hold_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("a: é".encode("utf-16"))
    with pytest.raises(BadInput, match="not text in UTF-8"):
        documents.read(path)
    for place, said in ((tmp_path, "Is a directory"), (tmp_path / "absent.yaml", "No such file")):
        with pytest.raises(BadInput, match=f"cannot be read .{said}"):
            documents.read(place)

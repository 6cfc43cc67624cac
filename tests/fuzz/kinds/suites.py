"""Suites with wrong values, keys and YAML, for the commands that read them."""

import copy as copies
from pathlib import Path
from typing import Any

import yaml

from tests.fuzz import damage, oracles
from tests.fuzz.material import LABELLED, SUITE, Random, copy, pick
from tests.fuzz.verdict import Case, Ran

FILE = Path("search.yaml")

# Text that makes a suite one to be refused, whatever else it holds: put before, put after, or in place of some of it.
BOMB = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]\n" for i in range(12))
BEFORE = {"an alias bomb": BOMB, "a list": "- 1\n", "a word": "suite\n", "another document": "a: 1\n---\n"}
AFTER = {
    "lists nested 5,000 deep": f"more: {'[' * 5000}{']' * 5000}\n",
    "mappings nested 3,000 deep": f"more: {'{a: ' * 3000}1{'}' * 3000}\n",
    "a key given twice": "seeds: [7]\n",
    "a Python object": "more: !!python/object/apply:os.getcwd []\n",
    "a tab": "\tmore: 1\n",
    "NUL": "# \0\n",
    "a recursive alias": "more: &a [*a]\n",
    "a long key": f"{'k' * 100_000}: 1\n",
}
INSTEAD = {
    "an integer of 5,000 digits": ("- 1\n", f"- {'1' * 5000}\n"),
    "base 60": ("- 1\n", "- 9:59:99\n"),
    "an inner key given twice": ("  data: events.h5\n", "  data: events.h5\n  data: other.h5\n"),
}
# Values to try, key by key; some of them have sense.
VALUES: dict[str, list[Any]] = yaml.safe_load("""
seeds: [[18446744073709551616], [9223372036854775808], [-1], [1, 1], [1.0], [true], [9223372036854775807], [0], ["1"]]
windows: [[[3.7, 3.3]], [[3.3, 3.3]], [[2.0, 3.0]], [[3.3, .nan]], [[3.3, .inf]], [[3.3, 3.7], [3.3, 3.7]], [[3, 4]],
  [[3.3, 3.7], [3.3, 3.7000001]], [["3.3", 3.7]], [[3.3, 3.7, 4]], [[-3.7, 3.3]], [[2.3, 5.0]], [3.3, 3.7]]
validation_windows: [[[3.2, 3.5]], [[3.3, 3.7]], [[2.4, 2.40001]], [[3.1, 3.3]], [[4.0, 4.4]], [[2.7, 3.1], [2.7, 3.1]]]
mass_range: [[5.0, 2.3], [2.3, .nan], [-.inf, .inf], [0, 1.0e+308], [-5, 5], [2300, 5000], [2.3, 2.3]]
injections: [[20.0], [1000000000], [-1], [true], [50, 50], [50, 50.0], [0], []]
background_seeds: [[1.0], [18446744073709551616], [-1], [], [5]]
data_events: [3000.0, 0, -1, 1000000000000, true, 700, 1200, .nan]
oversampling: [1000000, 1000000000000, 2.0, 0, true, 1, 3, -4]
excess: [{folds: 1}, {folds: 1000000}, {efficiencies: [.nan]}, {efficiencies: []}, {folds: 2.0}, null]
closure_events: [99, 100.0, .nan, 1000000000000000, 100]
budget: [{fit_: .nan}, {fit_: -1}, {"": 1}, {fit_: "1"}]
throughput: [{seconds: .nan}, {repeats: 1000000000}, {batches: [1000000000000]}, {file_events: 1000000000000000}]
about: [1, null, "", <script>]
methods: [{}, {nope: {}}, {cwola: {nope: 1}}, {sideband: {}}, {1: {}}, {curtains: {}}, {cwola@a/b: {}}, {cwola@..: {}}]
device: [cuda, gpu, null, CPU]
classifier: [{nope: 3}, {kind: mlps}, [], null]
""")
DATA: dict[str, list[Any]] = yaml.safe_load("""
data: [missing.h5, ../events.h5, "", ., /dev/null, events.h5/x, search.yaml, "events\\0.h5", 5, é.h5]
features: [[x, x], [x], [], [m], [x, truth], [label], [1, 2], [nope], x, [y, x], [""]]
mass: [{column: nope}, {column: x}, {column: m, unit: GeV}, {column: 1}, {}, {column: m, unit: ""}]
label: [truth, nope, m, x, null, 1]
signal: [events.h5, missing.h5, 5]
background: [events.h5, missing.h5]
simulation: [events.h5, score.onnx]
source: [dijets, lhco, showers, shower_files, csv, null]
description: ["", "x\\ny", 5]
""")


def _text(random: Random, content: dict[str, Any]) -> tuple[str, bool]:
    """Text that is not valid YAML."""
    text = yaml.safe_dump(content, sort_keys=False)
    name = pick(random, [*BEFORE, *AFTER, *INSTEAD])
    text = f"{BEFORE.get(name, '')}{text}{AFTER.get(name, '')}"
    FILE.write_text(text.replace(*INSTEAD[name], 1) if name in INSTEAD else text)
    return f"YAML with {name}", True


def _tree(random: Random, content: dict[str, Any]) -> tuple[str, bool]:
    content, said = damage.tree(random, content)
    if random.random() < 0.2:
        content, more = damage.tree(random, content)
        said += f"; {more}"
    FILE.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=bool(random.integers(2))))
    return said, False


def _value(random: Random, content: dict[str, Any]) -> tuple[str, bool]:
    holder, known = (content["dataset"], DATA) if random.random() < 0.35 else (content, VALUES)
    key = pick(random, list(known))
    holder[key] = pick(random, known[key])
    FILE.write_text(yaml.safe_dump(content, sort_keys=False))
    return f"{key}: {holder[key]!r:.60}", False


def _damaged(random: Random, content: dict[str, Any]) -> tuple[str, bool]:
    FILE.write_text(yaml.safe_dump(content, sort_keys=False))
    return damage.file(random, FILE), False


def made(random: Random, base: Path) -> tuple[str, bool]:
    """Write a changed suite to search.yaml; returns a description, and whether it must be refused."""
    copy(base, "events.h5")
    way = pick(random, (_text, _tree, _tree, _value, _value, _damaged))
    return way(random, copies.deepcopy(pick(random, (SUITE, LABELLED))))


def light(random: Random, base: Path) -> Case:
    """Draw the first task of a changed suite."""
    what, refused = made(random, base)
    command = ("benchmarks", "task", "search.yaml", "--out", "out.h5")
    return Case(f"task, {what}", command, ("out.h5",), frozenset({2} if refused else {0, 2}), _right)


def _right(ran: Ran) -> str:
    suite = yaml.safe_load(FILE.read_text())
    if suite["dataset"]["source"] != "hdf5":
        return ""
    seeds = [*suite["seeds"], *suite.get("background_seeds", [])]
    if not all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds):
        return f"seeds {seeds} were accepted"
    return oracles.task(suite, "out.h5")

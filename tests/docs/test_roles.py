"""The table of inputs and outputs on the page about deployment is that of the modules of every method."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch

from sideband.benchmarks import catalogue, entries
from sideband.benchmarks.catalogue import CATALOGUE
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.export.part import Part
from sideband.infer.describe import drawing
from sideband.infer.metadata import MAKERS, Port
from sideband.train import methods, ports
from sideband.train.classifiers.trees import TreeEnsemble
from tests.docs.pages import DOCS, section

WIDTH = 11  # of the features: no other number of the table is close to it
SUITES = {"search": suites.load("smoke"), "showers": suites.load("smoke_showers")}
HEAD = "| file | methods | inputs | outputs |\n| --- | --- | --- | --- |\n"


def task(problem: str) -> Any:
    """What the ports of a task read of it."""
    features = {"showers": VOXELS} if problem == "showers" else {f"x{i}": 1 for i in range(WIDTH)}
    units = dict.fromkeys([*features, "m"], "")
    return SimpleNamespace(features=features, width=sum(features.values()), mass="m", units=units)


def settings(name: str) -> tuple[Any, dict[str, Any]]:
    """The settings of a method and of what it stands on."""
    suite, entry = SUITES[catalogue.get(name).problem], catalogue.get(name)
    given = suite.settings(name) or suite.settings(entry.file or name)
    own = methods.settings(name, given, name)
    return own, {need: as_need(need) for need in entries.needs(name, given)}


def as_need(name: str) -> Any:
    own, needs = settings(name)
    return own if catalogue.get(name).shared else methods.Other(name, own, needs)


def parts(name: str) -> dict[str, Part]:
    """The graphs that a method exports, untrained, by role."""
    entry, (own, needs) = CATALOGUE[name], settings(name)
    modules = methods.load(name).build(own, task(entry.problem).width, needs)
    found = {role: Part(role, role, module.eval()) for role, module in modules.items() if role in entry.roles}
    if "score" not in modules:
        found["score"] = Part("score", "score", modules.get("encoder"), object.__new__(TreeEnsemble))
    return found


def described(name: str, role: str, part: Part) -> tuple[str, str]:
    """What a graph takes and gives, in words."""
    of = task(CATALOGUE[name].problem)
    given = part.inputs(of)
    feeds = {key: torch.rand(2, port.width).numpy() for key, port in given.items()}
    made = ports.outputs(part.outputs(feeds), part.module if part.trees is None else None, of)
    inputs = [f"{shape(key, port, of.width)}{how(port, role)}" for key, port in given.items()]
    outputs = [f"{shape(key, port, of.width)}{means(port)}" for key, port in made.items()]
    return ", ".join(inputs), ", ".join(outputs)


def shape(name: str, port: Port, features: int) -> str:
    if name == "latent":
        return "`latent [N, k]`"  # as many as a setting says
    more = port.width - features
    symbol = str(port.width) if features == VOXELS or port.width == 1 else f"d + {more}" if more else "d"
    return f"`{name} [N, {symbol}]`"


def how(port: Port, role: str) -> str:
    return f" ({drawing(port.drawn, None)})" if port.drawn and role in MAKERS else ""


def means(port: Port) -> str:
    return f" ({port.meaning.text}: {port.meaning.range})" if port.meaning else ""


def table() -> str:
    """The table, with one row for all methods whose file of a role is alike."""
    rows = defaultdict(list)
    for name, entry in CATALOGUE.items():
        if not entry.shared:
            for role, part in parts(name).items():
                rows[role, *described(name, role, part)].append(f"`{name}`")
    order = sorted(rows, key=lambda row: ("score", "template", "encoder", "density", "signal").index(row[0]))
    return HEAD + "".join(f"| `{row[0]}.onnx` | {', '.join(rows[row])} | {row[1]} | {row[2]} |\n" for row in order)


def test_the_table_of_inputs_and_outputs() -> None:
    written = section(DOCS / "deploy" / "index.md", "What each file takes and gives")
    assert table() in written, f"the table should be\n{table()}"


def test_every_score_says_what_it_is() -> None:
    scores = {name: parts(name)["score"] for name, entry in CATALOGUE.items() if not entry.shared}
    assert [name for name, part in scores.items() if part.trees is None and not part.module.meaning.text] == []

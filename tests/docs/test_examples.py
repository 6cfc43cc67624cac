"""Suites and Python in the pages, and the examples in docstrings: all of them work."""

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
import yaml

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.tracking.journal import Record
from sideband.benchmarks.tracking.models import Exported, register
from sideband.benchmarks.tracking.store import client, push
from sideband.train import methods
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.settings import settings_from
from tests.docs.pages import DOCS, PAGES, ROOT, Block, blocks, name
from tests.infer import graphs

FILES = ("data", "signal", "background", "simulation", "test", "file")  # keys whose values name files
SEARCH = {  # what a block that holds sections alone is completed with
    "about": "a search",
    "dataset": {"source": "dijets"},
    "mass_range": [2.3, 5.0],
    "windows": [[3.3, 3.7]],
    "injections": [430],
    "seeds": [1],
    "methods": {"cathode": {}},
}


def found(language: str) -> list[Any]:
    return [pytest.param(block, id=f"{name(page)}:{block.line}") for page in PAGES for block in blocks(page, language)]


def named(value: Any) -> Iterator[str]:
    """The files that a section names; one for a pattern."""
    if isinstance(value, dict):
        for key in FILES & value.keys():
            yield from [value[key]] if isinstance(value[key], str) else value[key]
        value = list(value.values())
    for each in value if isinstance(value, list) else []:
        yield from named(each)


def write_events(path: Path) -> None:
    """Events with every column that the pages name; of those in ROOT files, each has its own id."""
    random = np.random.default_rng(1)
    number = 20_000
    mass, jets = 200 + random.exponential(150, number), random.integers(0, 4, number)
    columns = {"m_vis": mass, "E": mass, **dict.fromkeys(("px", "py", "pz"), np.zeros(number))}
    columns |= {"met": random.gamma(2, 40, number), "ht": random.gamma(2, 400, number), "n_sub": jets * 1.0}
    if path.suffix == ".root":
        name = int.from_bytes(path.name.encode()[:7])
        table = {**columns, "nJet": jets, "Jet_pt": ak.unflatten(random.gamma(2, 100, jets.sum()), jets)}
        table |= {"run": np.full(number, name), "luminosityBlock": np.ones(number, int), "event": np.arange(number)}
        with uproot.recreate(path) as file:
            file.mktree(
                "Events", {key: each.type.content if key == "Jet_pt" else each.dtype for key, each in table.items()}
            )
            file["Events"].extend(table)
        return
    with h5py.File(path, "w") as file:
        for key, values in {**columns, "truth": (random.random(number) < 0.1).astype(float)}.items():
            file[key] = values


def register_template(folder: Path, uri: str) -> None:
    """Register the template in a folder as a run of quick would."""
    cell = {"suite": "quick", "method": "cathode", "window": "3.3-3.7", "injection": "n430", "seed": "s1"}
    record = Record(folder, {**cell, "dataset": "toy events", "dataset_sha256": "0" * 64})
    record.artifacts([folder / "template.onnx", folder / "check.npz"], "template")
    exported = Exported.read(folder, "template")
    register(client(uri), push(folder, uri), exported, "cathode-template", ["quick_3_3_3_7_n430_s1"], cell)


@pytest.mark.parametrize("block", found("yaml"))
def test_suites_load(block: Block, tmp_path: Path) -> None:
    content = {**SEARCH, **yaml.safe_load(block.text)} if "about:" not in block.text else None
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False) if content else block.text)
    for file in named(yaml.safe_load(block.text).get("dataset")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        write_events(tmp_path / file.replace("*", "B"))
    suite = suites.load(path)
    if suite["dataset"]["source"] in ("events", "dijets"):  # others are files of experiments
        assert suite.problem.check_data(suite) > 0
    for entry in [*suite["methods"], *suite["shared"]]:
        methods.settings(entry, suite.settings(entry), entry)
    settings_from(ClassifierSettings, suite["classifier"], "classifier")


@pytest.mark.filterwarnings("ignore:.*AnyType")  # MLflow's own, as it is loaded
@pytest.mark.parametrize("block", [each for each in found("python") if not each.id.startswith("docs/python.md")])
def test_python_runs(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    graphs.score(tmp_path / "score.onnx")
    graphs.check_vectors(graphs.template(tmp_path / "template.onnx", method="cathode"))
    if "models:/" in block.text:
        uri = request.getfixturevalue("new_store")()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        register_template(tmp_path, uri)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(DOCS / "deploy")
    exec(compile(block.text, "page", "exec"), {})


@pytest.mark.parametrize("block", found("pycon"))
def test_sessions_hold(block: Block) -> None:
    session = doctest.DocTestParser().get_doctest(block.text, {}, "page", None, block.line)
    assert not doctest.DocTestRunner().run(session).failed


def test_examples_in_docstrings_hold() -> None:
    for package in ("infer", "benchmarks", "train", "export", "api"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>>" in path.read_text():
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                result = doctest.testmod(importlib.import_module(f"sideband.{module}"))
                assert not result.failed, module

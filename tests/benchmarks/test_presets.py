"""Presets: what they set, what wins over them, and that both readers of suites see the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sideband.benchmarks import catalogue, presets
from sideband.benchmarks.grid import suite as suites
from sideband.infer.errors import BadInput
from sideband.train import methods
from sideband.train import suite as fits
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.settings import settings_from
from tests.benchmarks.plain import SHOWERS, written
from tests.conftest import Outcome

NAMES = json.loads((suites.SUITES / "schema.json").read_text())["properties"]["preset"]["enum"]


def test_the_schema_names_every_preset() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in presets.PRESETS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_holds_settings_that_there_are(name: str) -> None:
    preset = presets.read(name)
    assert set(preset) == set(presets.SECTIONS)
    for section in ("methods", "shared"):
        for fit, given in preset[section].items():
            assert catalogue.get(fit).shared == (section == "shared")
            assert methods.settings(fit, given, fit) != methods.settings(fit, {}, fit)
    settings_from(ClassifierSettings, preset["classifier"], "classifier")


def test_a_preset_sets_what_the_suite_does_not(tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "methods": {"sigma": None, "sigma@16": {"steps": 16}, "ranode": {"training": {"batch": 64}}, "iad": {}},
        "shared": {"sideband": {"flow": {"bound": 7.0}}},
        "classifier": {"members": 3},
        "throughput": {"seconds": 0.5},
    }
    path = written(tmp_path / "mine.yaml", preset="quick", **own)
    suite = suites.load(path)
    assert suite["methods"]["sigma"] == {"steps": 8}
    assert suite["methods"]["sigma@16"] == {"steps": 16}
    assert suite["methods"]["ranode"]["members"] == 5
    assert suite["methods"]["ranode"]["training"] == {
        "batch": 64, "learning_rate": 1e-3, "interval": 50, "patience": 6}  # fmt: skip
    assert suite["shared"]["sideband"] == {"flow": {"couplings": 4, "bound": 7.0}}
    assert set(suite["shared"]) == {"sideband", "matching"}
    assert suite["classifier"] == {"members": 3, "bins": 127}
    assert suite["throughput"] == {**suites.THROUGHPUT, "seconds": 0.5, "file_events": 10_000, "batches": [100, 1000]}
    read = fits.load(path)
    assert (read.methods, read.shared, read.classifier) == tuple(
        suite[each] for each in ("methods", "shared", "classifier")
    )


def test_without_a_preset_methods_are_as_in_their_papers(tmp_path: Path) -> None:
    plain = suites.load(written(tmp_path / "mine.yaml", classifiers={"nets": {"kind": "mlp"}}))
    paper = suites.load(written(tmp_path / "mine.yaml", classifiers={"nets": {"kind": "mlp"}}, preset="paper"))
    assert plain == paper
    assert (paper["shared"], paper["classifier"]) == ({}, {})
    quick = suites.load(written(tmp_path / "mine.yaml", classifiers={"nets": {"kind": "mlp"}}, preset="quick"))
    assert quick.classifier("cathode@nets") == {"kind": "mlp"}
    assert quick.classifier("cathode") == {"members": 10, "bins": 127}


def test_suites_of_showers_have_presets_too(tmp_path: Path) -> None:
    absent = dict.fromkeys(("mass_range", "windows", "injections"), ...)
    suite = suites.load(written(tmp_path / "mine.yaml", **absent, **SHOWERS, preset="quick"))
    assert set(suite["shared"]) == {"shower_flow", "shower_classifier"}
    assert suite["classifier"] == {}  # nothing there is trained with it


def test_a_run_keeps_the_settings_and_not_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml", preset="quick"))
    suite.save(tmp_path / "suite.json")
    monkeypatch.setattr(presets, "PRESETS", tmp_path / "gone")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "paper.yaml").write_text("{}")
    assert suites.load(tmp_path / "suite.json").content == suite.content
    assert fits.load(tmp_path / "suite.json").shared == suite["shared"] != {}


def test_an_unknown_preset_is_refused(tmp_path: Path, command: Callable[..., Outcome]) -> None:
    path = written(tmp_path / "mine.yaml", preset="fast")
    for load in (suites.load, fits.load):
        with pytest.raises(BadInput, match=r"preset: 'fast' is not one of \['quick', 'standard', 'paper'"):
            load(path)
    assert "preset: 'fast'" in command("train", "check", path).refused()

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from infer.errors import BadInput
from train.settings import settings_from


@dataclass(frozen=True)
class Inner:
    epochs: int = 100
    rate: float = 1e-3


@dataclass(frozen=True)
class Outer:
    width: int = 64
    kind: Literal["trees", "mlp"] = "trees"
    patience: int | None = 10
    training: Inner = field(default_factory=lambda: Inner(epochs=7))


def test_a_suite_changes_only_what_it_names() -> None:
    found = settings_from(Outer, {"kind": "mlp", "training": {"rate": 1}}, "methods.toy")
    assert found == Outer(kind="mlp", training=Inner(7, 1.0))
    assert type(found.training.rate) is float
    assert settings_from(Outer, {"patience": None}, "here").patience is None
    assert settings_from(Outer, dataclasses.asdict(found), "here") == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"widht": 3}, ("methods.toy", "'widht'", "width")),
        ({"training": {"epoch": 3}}, ("methods.toy.training", "'epoch'", "epochs")),
        ({"width": "wide"}, ("methods.toy.width", "'wide'", "int")),
        ({"width": 3.5}, ("methods.toy.width", "3.5", "int")),
        ({"width": True}, ("methods.toy.width", "True")),
        ({"width": None}, ("methods.toy.width", "None")),
        ({"kind": "forest"}, ("methods.toy.kind", "forest", "trees, mlp")),
        ({"patience": "long"}, ("methods.toy.patience", "int or None")),
        ({"training": 3}, ("methods.toy.training", "3")),
    ],
)
def test_a_mistake_is_named_in_one_line(given: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as error:
        settings_from(Outer, given, "methods.toy")
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("methods: {ranode: {memberz: 3}}", ("methods.ranode", "'memberz'", "members")),
        ("methods: {cathode: {oversampling: 3}}", ("methods.cathode", "'oversampling'", "none")),
        ("methods: {cwola: {}}\nshared: {sideband: {flow: {bins: 2.5}}}", ("shared.sideband.flow.bins", "2.5")),
        ("methods: {cwola: {}}\nclassifier: {kind: forest}", ("classifier.kind", "forest")),
    ],
)
def test_the_check_of_a_suite_names_the_place(command, tmp_path: Path, section: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"about: x\ndataset: {{source: dijets}}\nmass_range: [2.3, 5.0]\nwindows: [[3.3, 3.7]]\ninjections: [0]\n"
        f"seeds: [1]\n{section}\n"
    )
    line = command("train", "check", path).refused()
    for word in ("mine", *words):
        assert word in line


@pytest.mark.parametrize("name", ["smoke", "quick", "accept"])
def test_shipped_suites_know_their_settings(command, name: str) -> None:
    assert command("train", "check", name).status == 0

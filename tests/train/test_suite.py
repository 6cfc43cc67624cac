import json
from pathlib import Path

import pytest
import yaml

from sideband.infer.errors import BadInput
from sideband.train import suite as suites

CONTENT = {
    "about": "x",
    "dataset": {"source": "dijets"},
    "mass_range": [2.3, 5.0],
    "windows": [[3.3, 3.7]],
    "seeds": [1],
    "shared": {"diffusion": {"level_mean": -1.0}},
    "methods": {"cathode": None, "salad@small": {"hidden": 8}},
    "classifier": {"members": 2},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def written(path: Path, **changes: object) -> Path:
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_the_sections_of_fits(path: Path) -> None:
    suite = suites.load(written(path))
    assert suite == suites.Suite(
        "mine", {"cathode": {}, "salad@small": {"hidden": 8}}, CONTENT["shared"], CONTENT["classifier"], {}, 0, "cpu"
    )
    assert suite.settings("salad@small") == {"hidden": 8}
    assert suite.settings("salad") == suite.settings("cathode") == suite.settings("sideband") == {}
    assert suite.settings("diffusion") == {"level_mean": -1.0}
    assert list(suite.fits()) == [
        ("shared", "diffusion"),
        ("shared", "sideband"),
        ("methods", "cathode"),
        ("methods", "salad@small"),
    ]


def test_a_further_classifier_comes_with_every_method_that_has_one(path: Path) -> None:
    given = {"methods": {"cathode": {}, "anode": {}}, "classifiers": {"nets": {"kind": "mlp"}}}
    suite = suites.load(written(path, **given))
    assert list(suite.methods) == ["cathode", "cathode@nets", "anode"]
    assert suite.classifier_of("cathode@nets") == {"kind": "mlp"}
    assert suite.classifier_of("cathode") == CONTENT["classifier"]


@pytest.mark.parametrize(("excess", "folds"), [(None, 0), ({}, 5), ({"folds": 3}, 3)])
def test_the_folds_of_the_cross_fit(path: Path, excess: dict[str, int] | None, folds: int) -> None:
    assert suites.load(written(path, excess=excess)).folds == folds


def test_the_suite_that_a_run_keeps(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "suite.json"
    kept.write_text(
        json.dumps({"name": "mine", "file": "mine.yaml", "resolved": yaml.safe_load(written(path).read_text())})
    )
    assert suites.load(kept) == suites.load(path)


def test_every_shipped_suite_is_read_by_its_name() -> None:
    for path in suites.SUITES.glob("*.yaml"):
        suite = suites.load(path.stem)
        assert suite.name == path.stem
        assert suite.methods


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clasifier": {}}, "the suite: .*'clasifier'"),
        ({"methods": {"sideband": {}}}, "methods.sideband: a shared fit, not a method"),
        ({"methods": {"nope": {}}}, "unknown method 'nope'"),
        ({"shared": {"cwola": {}}}, "shared.cwola: a method, not a shared fit"),
        ({"methods": {"cwola": 3}}, "methods.cwola: 3 is not of type"),
        ({"excess": {"folds": 1}}, "excess.folds: 1 is less than"),
        ({"device": "gpu"}, "device: 'gpu' is not one of"),
        ({"methods": None}, "'methods' is a required property"),
        ({"classifier": ["x" * 10_000]}, "classifier: .* … .* is not of type"),
    ],
)
def test_a_mistake_is_named_in_one_short_line(path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words) as error:
        suites.load(written(path, **changes))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_file_that_is_no_suite(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="suite 'nowhere': no such file, and none of accept, "):
        suites.load("nowhere")
    kept = tmp_path / "suite.json"
    kept.write_text(json.dumps({"name": 3, "resolved": CONTENT}))
    with pytest.raises(BadInput, match=r"suite\.json: name: must be text"):
        suites.load(kept)
    kept.write_text("[]")
    with pytest.raises(BadInput, match=r"suite\.json: the suite: \[\] is not of type"):
        suites.load(kept)

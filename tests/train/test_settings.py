import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from sideband.benchmarks.catalogue import CATALOGUE
from sideband.infer.errors import BadInput
from sideband.train import methods
from sideband.train import suite as suites
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.fit import Training
from sideband.train.methods.search import ranode
from sideband.train.methods.shared import morph
from sideband.train.settings import Count, Rate, Share, Width, number, settings_from

SUITES = {path.stem: yaml.safe_load(path.read_text()) for path in suites.SUITES.glob("*.yaml")}
KINDS = {name: methods.load(name).Settings for name in CATALOGUE} | {"classifier": ClassifierSettings}


@dataclass(frozen=True)
class Inner:
    epochs: Count = 100
    rate: Rate = 1e-3
    share: Share = 0.1


@dataclass(frozen=True)
class Outer:
    width: Width = 64
    kind: Literal["trees", "mlp"] = "trees"
    even: bool = False
    patience: Count | None = 10
    training: Inner = field(default_factory=lambda: Inner(epochs=7))

    def __post_init__(self) -> None:
        if self.even and self.width % 2:
            raise ValueError(f"width {self.width} is odd")


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
        ({"width": "wide"}, ("methods.toy.width: 'wide' is not a whole number from 1 to 4096",)),
        ({"width": 3.5}, ("methods.toy.width: 3.5 is not a whole number",)),
        ({"width": 8.0}, ("methods.toy.width: 8.0 is not a whole number",)),
        ({"width": True}, ("methods.toy.width: True",)),
        ({"width": None}, ("methods.toy.width: None",)),
        ({"width": 0}, ("methods.toy.width: 0 is not a whole number from 1 to 4096",)),
        ({"width": 16**5000}, ("methods.toy.width: a number of thousands of digits is not",)),
        ({"kind": "forest"}, ("methods.toy.kind", "forest", "trees, mlp")),
        ({"kind": ["trees"]}, ("methods.toy.kind", "['trees']")),
        ({"even": 1}, ("methods.toy.even: 1 is not true or false",)),
        ({"even": True, "width": 3}, ("methods.toy: width 3 is odd",)),
        ({"patience": "long"}, ("methods.toy.patience", "from 1 to 1000000000 or null")),
        ({"training": 3}, ("methods.toy.training: 3 is not a mapping of settings", "epochs")),
        ({"training": {"epochs": -1}}, ("methods.toy.training.epochs: -1 is not a whole number from 1 to",)),
        ({"training": {"rate": 0}}, ("methods.toy.training.rate: 0 is not a number above 0 and up to 1",)),
        ({"training": {"rate": False}}, ("methods.toy.training.rate: False is not a number",)),
        ({"training": {"rate": math.nan}}, ("methods.toy.training.rate: nan is not a number",)),
        ({"training": {"rate": math.inf}}, ("methods.toy.training.rate: inf is not a number",)),
        ({"training": {"rate": 10**400}}, ("methods.toy.training.rate", "is not a number")),
        ({"training": {"share": 1.0}}, ("methods.toy.training.share: 1.0 is not a number from 0 to below 1",)),
        ({"training": {"share": "x" * 10_000}}, ("methods.toy.training.share: 'xxx",)),
    ],
)
def test_a_mistake_is_named_in_one_short_line(given: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as error:
        settings_from(Outer, given, "methods.toy")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
    for word in words:
        assert word in str(error.value)


def test_ends_of_a_range_are_included_unless_excluded() -> None:
    for share in (0, 0.0, 0.5, math.nextafter(1, 0)):
        assert settings_from(Inner, {"share": share}, "toy").share == share
    for rate in (5e-324, 1):
        assert settings_from(Inner, {"rate": rate}, "toy").rate == rate


# Every method's settings


def numbers(kind: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Place and type hint of every number in settings, nested ones included."""
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            yield from numbers(hint, f"{place}{name}.")
            continue
        for each in typing.get_args(hint) if type(None) in typing.get_args(hint) else (hint,):
            plain = typing.get_args(each)[0] if hasattr(each, "__metadata__") else each
            if plain in (int, float):
                yield f"{place}{name}", each


def nested(place: str, value: Any) -> dict[str, Any]:
    first, _, rest = place.partition(".")
    return {first: nested(rest, value) if rest else value}


def test_a_number_without_a_range_is_noticed() -> None:
    @dataclass(frozen=True)
    class Forgetful:
        width: int = 3

    assert [name for name, _ in numbers(Forgetful)] == ["width"]
    with pytest.raises(TypeError, match="needs a Range"):
        settings_from(Forgetful, {"width": 3}, "toy")


@pytest.mark.parametrize("name", KINDS)
def test_every_number_of_every_setting_has_a_range(name: str) -> None:
    kind = KINDS[name]
    for place, hint in numbers(kind):
        plain, limits = number(hint)  # raises where there is none
        beyond = [limits.least - 1, limits.most + 1]
        beyond += [limits.least] * limits.above + [limits.most] * limits.below
        for value in (*map(plain, beyond), math.nan, math.inf, True, "1"):
            with pytest.raises(BadInput, match=rf"{place}: .* is not a "):
                settings_from(kind, nested(place, value), "toy")


@pytest.mark.parametrize("name", KINDS)
def test_defaults_lie_in_their_ranges(name: str) -> None:
    kind = KINDS[name]
    assert settings_from(kind, dataclasses.asdict(kind()), name) == kind()


@pytest.mark.parametrize("name", SUITES)
def test_settings_of_shipped_suites_lie_in_their_ranges(name: str) -> None:
    content = SUITES[name]
    for section in ("methods", "shared"):
        for method, given in content.get(section, {}).items():
            methods.settings(method, given or {}, f"{section}.{method}")
    settings_from(ClassifierSettings, content.get("classifier", {}), "classifier")


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (Training, {"validation": 0}, "patience"),
        (ranode.Settings, {"least_fraction": 0.5}, "least_fraction 0.5 is above most_fraction 0.01"),
        (morph.Settings, {"training": {"steps": 200}}, "generator_steps 200"),
        (morph.Settings, {"generator_steps": 25_000}, "generator_steps 25000"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(kind: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=f"toy: .*{words}"):
        settings_from(kind, given, "toy")


def test_settings_that_agree_are_accepted() -> None:
    assert settings_from(Training, {"validation": 0, "patience": None, "schedule": "cosine"}, "toy").validation == 0
    assert settings_from(morph.Settings, {"generator_steps": 25_000, "adversarial": 0}, "toy").adversarial == 0
    untrained = {"training": {"steps": 0}}  # only marginals may stay so
    assert methods.settings("marginals", untrained, "toy").training.steps == 0
    with pytest.raises(BadInput, match=r"toy\.training\.steps: 0"):
        methods.settings("matching", untrained, "toy")


# The check of a suite


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("methods: {ranode: {memberz: 3}}", ("methods.ranode", "'memberz'", "members")),
        ("methods: {cathode: {oversampling: 3}}", ("methods.cathode", "'oversampling'", "none")),
        ("methods: {cwola: {}}\nshared: {sideband: {flow: {bins: 2.5}}}", ("shared.sideband.flow.bins", "2.5")),
        ("methods: {cwola: {}}\nclassifier: {kind: forest}", ("classifier.kind", "forest")),
        ("methods: {cwola: {}}\nclassifier: {learning_rate: 0}", ("classifier.learning_rate: 0",)),
        ("methods: {salad: {training: {steps: -1}}}", ("methods.salad.training.steps: -1", "from 1 to")),
        ("methods: {salad: {training: {batch: -1}}}", ("methods.salad.training.batch: -1",)),
        ("methods: {salad: {training: {ema: .nan}}}", ("methods.salad.training.ema: nan",)),
        ("methods: {cathode: {}}\nshared: {sideband: {training: {validation: 1.0}}}", ("validation: 1.0", "below 1")),
        ("methods: {drapes: {steps: 1}}", ("methods.drapes.steps: 1",)),
        ("methods: {drapes_sb: {noise: 90}}", ("methods.drapes_sb.noise: 90",)),
        ("methods: {sigma@1: {anchor_margin: -0.1}}", ("methods.sigma@1.anchor_margin: -0.1",)),
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
def test_the_settings_of_shipped_suites_pass_the_check(command, name: str) -> None:
    assert command("train", "check", name).status == 0


def test_only_references_may_have_settings_that_read_the_truth() -> None:
    assert methods.settings("ranode_true@x10", {"of_truth": 10.0}, "toy").of_truth == 10
    with pytest.raises(BadInput, match="toy: would read the truth, and 'ranode@x10' is no reference"):
        methods.settings("ranode@x10", {"of_truth": 10.0}, "toy")

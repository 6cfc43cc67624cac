import contextlib
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sideband.benchmarks.events import task as tasks
from sideband.infer.errors import BadInput
from sideband.train import saved
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.classifiers.step import train_classifier
from sideband.train.fit import Training
from sideband.train.run import derived_seed, open_device
from tests.train.conftest import FitOf, NewRun
from tests.train.fits import same


def test_a_fit_opens_as_it_was_saved(fit_of: FitOf, small_task: Path, tmp_path: Path) -> None:
    path = fit_of("ranode", small_task, tmp_path)
    fit = saved.load(path)
    assert fit.method == "ranode"
    assert fit.columns == dict.fromkeys(("m_j1", "dm_j", "tau21_j1", "tau21_j2", "dr_jj"), 1)
    assert fit.settings.members == 2
    assert fit.needs["sideband"].flow.couplings == 1
    fit.save(tmp_path / "again.pt")
    again = saved.load(tmp_path / "again.pt")
    features, mass = torch.rand(20, 5), torch.full((20, 1), 3.5)
    assert torch.equal(fit.modules["score"](features, mass), again.modules["score"](features, mass))
    assert not any(parameter.requires_grad for parameter in fit.modules["score"].parameters())


def test_both_kinds_of_classifier_come_back(new_run: NewRun, fit_of: FitOf, small_task: Path, tmp_path: Path) -> None:
    fit = saved.load(fit_of("cwola", small_task, tmp_path))
    events = np.random.default_rng(0).random((100, 5), dtype=np.float32)
    settings = ClassifierSettings(
        kind="mlp", members=2, hidden=8, training=Training(10, 32, interval=10, validation=0.3)
    )
    mlp = train_classifier("mlp", events[:50], events[50:], None, settings, new_run())
    fit.folds, fit.classifier_settings = [mlp], settings
    fit.save(tmp_path / "both.pt")
    found = saved.load(tmp_path / "both.pt")
    np.testing.assert_array_equal(found.classifier.predict(events), fit.classifier.predict(events))
    assert torch.equal(found.folds[0](torch.from_numpy(events)), mlp(torch.from_numpy(events)))


def test_what_is_not_a_fit_is_refused_in_one_line(fit_of: FitOf, small_task: Path, tmp_path: Path) -> None:
    whole = fit_of("cwola", small_task, tmp_path).read_bytes()
    contents = {"torn.pt": whole[: len(whole) // 2], "text.pt": b"not a fit", "empty.pt": b""}
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.pt")
    contents["other.pt"] = (tmp_path / "other.pt").read_bytes()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match="not a fit of Sideband") as error:
            saved.load(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(BadInput, match="no such file"):
        saved.load(tmp_path / "absent.pt")


Change = Callable[[dict[str, Any]], object]


def weights(content: dict[str, Any], change: Callable[[torch.Tensor], object]) -> None:
    state = content["modules"]["score"]
    name = next(key for key in state if key.endswith("last.bias"))
    state[name] = change(state[name])


DAMAGE: dict[str, tuple[str, str, Change]] = {
    "no method": ("anode", "'method' is missing", lambda c: c.pop("method")),
    "unknown method": ("anode", "its method is unknown", lambda c: c.update(method="nope")),
    "method of another kind": (
        "anode",
        "no classifier",
        lambda c: c.update(method="cwola", needs={}, modules={}, settings={}),
    ),
    "no task": ("anode", "'task' is missing", lambda c: c.pop("task")),
    "no seed": ("anode", "the task's 'seed'", lambda c: c["task"].pop("seed")),
    "window backwards": ("anode", "wrong 'window'", lambda c: c["task"].update(window=[3.3])),
    "other columns": ("anode", "not its columns", lambda c: c.update(columns={"x": 5})),
    "endless columns": ("anode", "wrong 'columns'", lambda c: c.update(columns={"x": 10**12})),
    "needs nothing": ("anode", "stands on other fits", lambda c: c.update(needs={})),
    "no modules": ("anode", "its modules are not score", lambda c: c.update(modules={})),
    "weight missing": ("anode", "other weights", lambda c: c["modules"]["score"].popitem()),
    "weights a list": ("anode", "other weights", lambda c: c["modules"].update(score=[1])),
    "weight of another shape": ("anode", "is not what it was", lambda c: weights(c, lambda w: w[:, :1])),
    "weight of another type": ("anode", "is not what it was", lambda c: weights(c, torch.Tensor.double)),
    "weight sparse": ("anode", "is not what it was", lambda c: weights(c, torch.Tensor.to_sparse)),
    "weight no tensor": ("anode", "is not what it was", lambda c: weights(c, torch.Tensor.tolist)),
    "weight not finite": ("anode", "is not finite", lambda c: weights(c, lambda w: w / 0)),
    "setting out of range": ("anode", "flow.bins: 1 is not a whole", lambda c: c["settings"]["flow"].update(bins=1)),
    "larger than it is": ("anode", "is not what it was", lambda c: c["settings"]["flow"].update(hidden=4096, layers=2)),
    "range of no column": ("anode", "wrong 'fitted_range'", lambda c: c["fitted_range"].update(score={"x": [0, 1]})),
    "classifier gone": ("cwola", "no classifier", lambda c: c.update(classifier=None)),
    "classifier of a new kind": ("cwola", "neither trees nor mlp", lambda c: c["classifier"].update(kind="forest")),
    "trees without members": ("cwola", "'member' is missing", lambda c: c["classifier"].pop("member")),
    "trees in float": (
        "cwola",
        "trees' 'left' is missing, or not what",
        lambda c: c["classifier"].update(left=c["classifier"]["left"].double()),
    ),
    "trees in a circle": ("cwola", "branches lead out", lambda c: c["classifier"]["left"].clamp_(max=0)),
    "trees of other features": (
        "cwola",
        "of other features",
        lambda c: c["classifier"].update(features=torch.tensor(9)),
    ),
    "a fold that is none": ("cwola", "neither trees nor mlp", lambda c: c["folds"].append(3)),
}


@pytest.fixture(scope="module")
def sound(fit_of: FitOf, small_task: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    return {name: fit_of(name, small_task, folder) for name in ("anode", "cwola")}


@pytest.mark.parametrize("what", DAMAGE)
def test_every_part_of_a_fit_is_looked_at(what: str, sound: dict[str, Path], tmp_path: Path) -> None:
    method, words, change = DAMAGE[what]
    content = torch.load(sound[method], weights_only=True)
    change(content)
    torch.save(content, tmp_path / "changed.pt")
    with pytest.raises(BadInput, match=words) as error:
        saved.load(tmp_path / "changed.pt")
    assert str(error.value).startswith(f"{tmp_path / 'changed.pt'}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["anode", "cwola"])
def test_no_flipped_bit_changes_a_fit(method: str, sound: dict[str, Path], tmp_path: Path) -> None:
    whole = sound[method].read_bytes()
    expected = torch.load(sound[method], weights_only=True)
    for place in np.random.default_rng(1).integers(len(whole), size=40):
        content = bytearray(whole)
        content[place] ^= 1 << int(place % 8)
        (tmp_path / "flipped.pt").write_bytes(content)
        with contextlib.suppress(BadInput):
            saved.load(tmp_path / "flipped.pt")
            assert same(torch.load(tmp_path / "flipped.pt", weights_only=True), expected)


def with_said(task: tasks.Task, **changes: Any) -> tasks.Task:
    return replace(task, attributes=task.attributes | changes)


def test_a_task_is_that_of_a_fit_if_it_says_the_same_of_itself(sound: dict[str, Path], small_task: Path) -> None:
    fit, task = saved.load(sound["cwola"]), tasks.read(small_task)
    saved.check_task(fit, sound["cwola"], task)
    window = {"window": [3.0, 3.4], "data_in_window": 3, "significance": math.nan}
    for changes in (window, {"seed": 2}, {"injection": 0}, {"dataset_sha256": "0" * 64}, {"mass_range": [2.0, 5.0]}):
        with pytest.raises(BadInput, match=f"is not the task that .* was fitted on .*{next(iter(changes))}"):
            saved.check_task(fit, sound["cwola"], with_said(task, **changes))
        if changes is not window:
            with pytest.raises(BadInput, match="is not the task"):
                saved.check_task(fit, sound["cwola"], with_said(task, **changes), of_any_window=True)
    saved.check_task(fit, sound["cwola"], with_said(task, **window), of_any_window=True)
    reordered = replace(task, shapes=dict(reversed(task.shapes.items())))
    with pytest.raises(BadInput, match="another features"):
        saved.check_task(fit, sound["cwola"], reordered)
    fit.task["significance"] = math.nan
    saved.check_task(fit, sound["cwola"], with_said(task, significance=math.nan))


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


def test_opening_a_file_runs_no_code_of_it(tmp_path: Path) -> None:
    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=2))
    torch.save({"method": Trap(tmp_path / "sprung")}, tmp_path / "zipped.pt")
    for name in ("trap.pt", "zipped.pt"):
        with pytest.raises(BadInput):
            saved.load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_seeds_of_different_purposes_differ() -> None:
    seeds = {derived_seed(seed, *purpose) for seed in (1, 2) for purpose in (("a",), ("b",), ("a", 1), ("a", "1"))}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadInput, match="choose cpu or cuda"):
        open_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="--device cpu"):
            open_device("cuda")

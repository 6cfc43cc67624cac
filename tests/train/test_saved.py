import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.errors import BadInput
from tests.train.conftest import FitOf, NewRun
from train import saved
from train.classifier import ClassifierSettings, train_classifier
from train.fit import Training
from train.run import derived_seed, open_device


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
    settings = ClassifierSettings(kind="mlp", members=2, hidden=8, training=Training(1, 32, 1e-3, validation=0.3))
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

from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.metrics.matching import matched_weights
from sideband.benchmarks.problems import of_task
from sideband.benchmarks.problems.showers.evaluate import shape
from sideband.benchmarks.simulate.showers.geometry import STARTS, VOXELS
from sideband.infer import events


def test_matched_photons_have_the_signal_s_energies() -> None:
    random = np.random.default_rng(1)
    photons, signal = random.uniform(0, 100, 50_000), random.normal(50, 5, 4000)
    weight, kept = matched_weights(photons, signal)
    assert weight.mean() == pytest.approx(1)
    assert kept.mean() == pytest.approx(0.99, abs=1e-3)
    assert np.average(photons, weights=weight) == pytest.approx(signal[kept > 0].mean(), abs=0.2)
    assert np.sqrt(np.cov(photons, aweights=weight)) == pytest.approx(signal[kept > 0].std(), rel=0.03)
    assert (weight[(photons < signal.min()) | (photons > signal.max())] == 0).all()
    label = np.repeat([0, 1], [len(photons), len(signal)])
    energy = np.concatenate([photons, signal])
    assert sic.roc(energy**2, label, np.concatenate([weight, kept])).area == pytest.approx(0.5, abs=0.01)
    peaked = -np.abs(energy - 50)
    assert sic.roc(peaked, label).area > 0.9
    assert sic.roc(peaked, label, np.concatenate([weight, kept])).area == pytest.approx(0.5, abs=0.015)


def test_a_signal_beyond_all_photons_has_none_to_be_held_against() -> None:
    weights = matched_weights(np.linspace(0, 1, 100), np.linspace(5, 6, 50))
    assert not np.concatenate(weights).any()
    curve = sic.roc(np.zeros(150), np.repeat([0, 1], [100, 50]), np.concatenate(weights))
    assert np.isnan([curve.area, *curve.achieved(1e-3), *curve.maximum()]).all()


def write_scores(path: Path, score: np.ndarray) -> Path:
    with events.new_file(path) as file:
        events.write(file, {"score": score.astype(np.float32), "clamped": np.zeros(len(score), np.float32)})
    return path


def test_each_sample_is_held_against_photons_alone_and_matched(shower_task: Path, tmp_path: Path) -> None:
    columns = events.read(shower_task, ["showers", "sample", "label"], "test")
    np.testing.assert_array_equal(columns["label"], columns["sample"] > 0)
    score = np.where(columns["sample"] == 1, 1e6, columns["showers"].sum(1))
    record = of_task(shower_task).evaluate(shower_task, write_scores(tmp_path / "scores.h5", score))
    assert record["closure"] is None
    assert [sample["name"] for sample in record["samples"]] == ["5 GeV, 0.66 m", "5 GeV, 1 ns", "0.005 GeV, 1.24 m",
                                                                "0.005 GeV, 1 ns"]  # fmt: skip
    first, *others = record["samples"]
    assert first["auc"] == 1
    assert first["sic"] == pytest.approx(1 / np.sqrt(first["achieved"]))
    assert first["achieved"] >= 25 / 1000
    assert all(0 < sample["auc"] < 1 for sample in others)
    assert sum(sample["events"] for sample in record["samples"]) == columns["label"].sum()


def test_closure_of_generated_showers(shower_task: Path, tmp_path: Path) -> None:
    columns = events.read(shower_task, ["showers", "sample"], "test")
    scores = write_scores(tmp_path / "scores.h5", np.zeros(len(columns["sample"])))
    truth = events.read(shower_task, ["showers", "energy"], "data")
    auc = {}
    for name, factor in (("same", 1.0), ("hotter", 5.0)):
        with events.new_file(tmp_path / f"{name}.h5") as file:
            events.write(file, {"showers": truth["showers"][:600] * np.float32(factor)})
        record = of_task(shower_task).evaluate(shower_task, scores, tmp_path / f"{name}.h5", closure_events=80)
        auc[name] = record["closure_shape"]["auc"]
        assert record["closure"]["events"] == 80
    assert auc["same"] == pytest.approx(0.5, abs=0.15)
    assert auc["hotter"] > 0.95
    assert of_task(shower_task).control(shower_task, 80)["sidebands"] is None


def test_shape_of_a_shower_by_hand() -> None:
    shower = np.zeros((1, VOXELS), np.float32)
    shower[0, [0, 1, STARTS[1]]] = 3.0, 1.0, 10.0
    np.testing.assert_allclose(shape(shower), [[4, 10, 0, 2, 1, 0, 0.75, 1, 0]])


def test_the_groups_share_no_showers_and_keep_no_empty_ones(shower_task: Path) -> None:
    found = []
    with h5py.File(shower_task) as file:
        for group in ("data", "test", "reference"):
            assert (file[group]["showers"][:].sum(1) > 0).all()
            found.append(file[group]["showers"][:].sum(1))
        assert file["target"].shape == (1000,)
        assert set(np.unique(file["reference"]["mass"][:])) == {np.float32(5), np.float32(0.005)}
    together = np.concatenate(found)
    assert len(np.unique(together)) == len(together)


def test_a_task_of_showers_has_no_window_and_says_so(shower_task: Path) -> None:
    the_task = tasks.read(shower_task)
    assert (the_task.windowed, the_task.labelled, the_task.width) == (False, True, VOXELS)
    assert the_task.cell()["window"] == "showers"
    assert the_task.inside(the_task.events("data")).all()
    with pytest.raises(tasks.BadInput, match="this task has no mass window"):
        _ = the_task.window

"""A search whose events have constituents: wide columns from the task to the scores."""

from pathlib import Path

import h5py
import numpy as np

from sideband.benchmarks.events import sources, task
from sideband.benchmarks.problems.search import draw
from sideband.export.cell import export_cell
from sideband.infer import events
from sideband.infer.model import Model
from sideband.infer.score import score
from sideband.train import saved
from sideband.train.cell import fit_cell

EVENTS, CONSTITUENTS = 4000, 3
CLASSIFIER = {"members": 1, "iterations": 5, "bins": 31}


def own_events(path: Path) -> Path:
    """Masses from 2 to 6, a number, and two jets of three constituents with pT, η and φ."""
    random = np.random.default_rng(0)
    constituents = random.uniform(-1, 1, (EVENTS, 2, CONSTITUENTS, 3)).astype(np.float32)
    constituents[..., 0] = -np.sort(-np.abs(constituents[..., 0]), axis=-1)
    with h5py.File(path, "w") as file:
        file["mass"] = random.uniform(2, 6, EVENTS).astype(np.float32)
        file["width"] = random.gamma(2, 0.1, EVENTS).astype(np.float32)
        file["constituents"] = constituents
        for name, unit in (("mass", "TeV"), ("width", ""), ("constituents", "")):
            file[name].attrs["unit"] = unit
    return path


def test_constituents_go_all_the_way_to_the_scores(tmp_path: Path) -> None:
    own_events(tmp_path / "own.h5")
    section = {"source": "hdf5", "data": "own.h5", "mass": {"column": "mass", "unit": "TeV"}}
    section["features"] = ["width", "constituents"]
    recipe = draw.Recipe((2.0, 6.0), (3.5, 4.5), injection=None, seed=1)
    draw.make(sources.load(section, tmp_path), recipe, tmp_path / "task.h5")
    the_task = task.read(tmp_path / "task.h5")
    assert the_task.features == {"width": 1, "constituents": 2 * CONSTITUENTS * 3}
    assert (tmp_path / "task.h5").stat().st_size < (tmp_path / "own.h5").stat().st_size / 2  # row numbers, no copies
    fit_cell("cwola", tmp_path / "task.h5", tmp_path / "out", {}, CLASSIFIER, {})
    export_cell(tmp_path / "out" / "model.pt", tmp_path / "task.h5", tmp_path / "out")
    score([Model(tmp_path / "out" / "score.onnx")], tmp_path / "task.h5", tmp_path / "scores.h5", "data")
    found = events.read(tmp_path / "scores.h5", ["score"])["score"]
    expected = saved.load(tmp_path / "out" / "model.pt").classifier.predict(the_task.events("data").features)
    np.testing.assert_allclose(found, expected, atol=2e-6)

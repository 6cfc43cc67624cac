"""Wide columns from fit to file: CaloFlow's graphs through the export, the inference and the timing of every method."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from sideband.benchmarks.grid import suite
from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.export import gates
from sideband.export.cell import export_cell
from sideband.infer import events, model, score, template, throughput
from sideband.infer.meaning import SURPRISE
from sideband.infer.model import Model
from sideband.train.cell import fit_cell


@pytest.fixture(scope="module")
def caloflow(shower_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    smoke = suite.load("smoke_showers")
    folder = tmp_path_factory.mktemp("caloflow")
    settings = smoke.settings("shower_flow")
    settings["flow"] = {part: {"blocks": 1, "hidden": 8, "bins": 4} for part in ("layers", "voxels")}
    fit_cell("shower_flow", shower_task, folder / "flow", settings, {}, {})
    fit_cell("caloflow", shower_task, folder / "cell", {}, {}, {"shower_flow": folder / "flow" / "model.pt"})
    with pytest.MonkeyPatch.context() as patch:  # sampled one voxel after the other in torch, at every size
        patch.setattr(gates, "BATCHES", (1, 64))
        export_cell(folder / "cell" / "model.pt", shower_task, folder / "cell")
    return folder / "cell"


def test_the_files_say_that_a_column_is_wide(caloflow: Path) -> None:
    made, found = Model(caloflow / "template.onnx"), Model(caloflow / "score.onnx")
    assert made.outputs["features"] == model.Port(("showers",), ("MeV",), (VOXELS,))
    assert (made.inputs["noise"].width, made.inputs["condition"].columns) == (VOXELS + 3, ("energy",))
    assert found.inputs["features"].width == VOXELS
    assert found.outputs["score"].meaning == SURPRISE
    assert made.metadata["window"] is made.metadata["mass_range"] is None
    for path in caloflow.glob("*.onnx"):
        assert max(model.check(path).values()) <= 1


def test_the_template_is_the_one_drawn_with_torch(caloflow: Path, shower_task: Path, tmp_path: Path) -> None:
    made = Model(caloflow / "template.onnx")
    assert made.metadata["parity"]["drift"] >= 0
    template.generate(made, shower_task, tmp_path / "template.h5", threads=1)
    assert template.compare(made, caloflow / "template_torch.h5", tmp_path / "template.h5") <= 1
    with h5py.File(tmp_path / "template.h5") as file:
        assert file["showers"].shape == (1000, VOXELS)
        assert file["showers"].attrs["unit"] == "MeV"
        np.testing.assert_array_equal(file["energy"][:], events.read(shower_task, ["target"])["target"])


def test_showers_are_scored_where_they_stand(caloflow: Path, shower_task: Path, tmp_path: Path) -> None:
    found = Model(caloflow / "score.onnx")
    score.score([found], shower_task, tmp_path / "scores.h5", "test", threads=1)
    scores = events.read(tmp_path / "scores.h5", ["score"])["score"]
    showers = events.read(shower_task, ["showers"], "test")["showers"]
    rows = [0, 700, len(showers) - 1]
    expected = found.run({"features": showers[rows]})["score"][:, 0]
    np.testing.assert_allclose(scores[rows], expected, rtol=1e-5)
    # log p(shower | energy), at the energy that the score reconstructs, is minus the score
    total = showers[rows].sum(1)
    density = Model(caloflow / "density.onnx")
    energies = np.linspace(0.2, 2, 2001, dtype=np.float32)[:, None] * total[0] / 170
    likely = density.run({"features": np.repeat(showers[:1], 2001, 0), "condition": energies})["log_density"][:, 0]
    assert np.abs(likely + scores[0]).min() < 0.05


def test_timing_rows(caloflow: Path, shower_task: Path) -> None:
    for role in ("template", "score"):
        rows = list(throughput.measure(caloflow / f"{role}.onnx", shower_task, [50], [1], "cpu", 3, 0.01, 1000))
        assert {row["scope"] for row in rows} == {"graph", "host", "file"}
        assert all(row["events_per_second"] > 0 for row in rows)

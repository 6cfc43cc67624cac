"""A run of own events, with labels, that was killed and taken up again, against one process that nobody kills."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from sideband.benchmarks import catalogue
from sideband.benchmarks.problems.search import draw
from sideband.benchmarks.problems.search.evaluate import evaluate
from sideband.export.cell import export_cell
from sideband.infer import events
from sideband.infer.model import Model
from sideband.infer.score import score
from sideband.infer.template import generate
from sideband.train.cell import fit_cell
from tests.line.conftest import Ran
from tests.train.fits import same

PLACE = Path("3300-3700/n100/s1")
FILES = ("template_torch", "template", "scores")


@pytest.fixture(scope="module")
def unbroken(killed: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cells of the suite made anew, step by step."""
    folder, suite = tmp_path_factory.mktemp("unbroken"), killed.suite
    draw.make(suite.dataset(), suite.recipe("3300-3700", "n100", "s1"), folder / "task.h5")
    for name in ("sideband", "cathode", "cwola"):
        needs = {need: folder / need / "model.pt" for need in catalogue.get(name).needs}
        out = folder / name
        fit_cell(name, folder / "task.h5", out, suite.settings(name), suite["classifier"], needs, suite.folds)
        if name == "sideband":
            continue
        export_cell(out / "model.pt", folder / "task.h5", out, killed.folder / "graphs")
        score([Model(out / "score.onnx")], folder / "task.h5", out / "scores.h5", "test", threads=2)
        generate(Model(out / "template.onnx"), folder / "task.h5", out / "template.h5")
    return folder


def test_it_was_taken_up_again_and_finished(killed: Ran) -> None:
    assert killed.done.returncode == 0, killed.done.stderr
    assert (killed.folder / "report" / "index.html").exists()
    assert not list(killed.folder.rglob("*.tmp"))
    assert not list(killed.folder.rglob("*.part"))
    assert {path.suffix for path in (killed.folder / "graphs").iterdir()} == {".onnx"}
    assert not [path for path in (killed.folder / "checkpoints").rglob("*") if path.is_file()]


def test_with_labels_everything_is_there(killed: Ran) -> None:
    results = pd.read_csv(killed.folder / "report" / "results.csv")
    assert set(results[results["metric"] == "max_sic"]["method"]) == {"cathode", "cwola"}
    assert "signal region 3300–3700 GeV" in (killed.folder / "report" / "index.html").read_text()
    opened = Model(killed.folder / PLACE / "cathode" / "template.onnx")
    assert opened.outputs["features"].columns == ("width", "n_tracks", "charge")
    assert opened.inputs["condition"].columns == ("m_vis",)
    assert opened.units()["m_vis"] == "GeV"


@pytest.mark.parametrize(
    "name",
    ["task.h5", *(f"{method}/{name}.h5" for method in ("cathode", "cwola") for name in FILES), "cwola/source.h5"],
)
def test_events_are_bitwise_the_same(name: str, killed: Ran, unbroken: Path) -> None:
    def columns(path: Path) -> dict[str, tuple[str, bytes]]:
        found: dict[str, tuple[str, bytes]] = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda place, node: (
                    found.update({place: (str(node.dtype), node[:].tobytes())})
                    if isinstance(node, h5py.Dataset)
                    else None
                )
            )
        return found

    one, other = columns(killed.folder / PLACE / name), columns(unbroken / name)
    assert one.keys() == other.keys()
    for place, content in one.items():
        assert content == other[place], place


@pytest.mark.parametrize("name", ["sideband", "cathode", "cwola"])
def test_fits_are_bitwise_the_same(name: str, killed: Ran, unbroken: Path) -> None:
    one, other = (
        torch.load(folder / name / "model.pt", weights_only=True) for folder in (killed.folder / PLACE, unbroken)
    )
    assert same(one, other)


@pytest.mark.parametrize("name", ["cathode/template.onnx", "cathode/score.onnx", "cwola/score.onnx"])
def test_exported_files_are_byte_by_byte_the_same(name: str, killed: Ran, unbroken: Path) -> None:
    assert (killed.folder / PLACE / name).read_bytes() == (unbroken / name).read_bytes()


def test_check_vectors_are_the_same(killed: Ran, unbroken: Path) -> None:
    with (
        np.load(killed.folder / PLACE / "cathode" / "check.npz") as one,
        np.load(unbroken / "cathode" / "check.npz") as other,
    ):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("name", ["cathode", "cwola"])
def test_evaluations_are_the_same(name: str, killed: Ran, unbroken: Path) -> None:
    folder = unbroken / name
    files = folder / "scores.h5", folder / "template.h5"
    number = killed.suite["closure_events"]
    expected: dict[str, Any] = evaluate(unbroken / "task.h5", *files, closure_events=number)
    found = events.read_json(killed.folder / PLACE / name / "evaluation.json")
    for key in ("sic", "closure", "excess", "clamped_fraction"):
        np.testing.assert_equal(found[key], expected[key])

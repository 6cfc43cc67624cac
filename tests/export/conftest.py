import shutil
from pathlib import Path

import pytest
import torch

from sideband.benchmarks.grid import suite
from sideband.export.cell import export_cell
from sideband.train.cell import fit_cell


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def exported(small_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cell as the smoke suite fits it, TRANSIT after its morph: a traced template, trees, two folds.

    The traced graph lies in `graphs` beside it, for others of its shape.
    """
    smoke = suite.load("smoke")
    folder = tmp_path_factory.mktemp("exported") / "transit"
    marginals, morph = (tmp_path_factory.mktemp("needs") / "model.pt" for _ in range(2))
    fit_cell("marginals", small_task, marginals.parent, smoke.settings("marginals"), {}, {})
    fit_cell("morph", small_task, morph.parent, smoke.settings("morph"), {}, {"marginals": marginals})
    needs = {"morph": morph}
    fit_cell("transit", small_task, folder, smoke.settings("transit"), smoke["classifier"], needs, folds=2)
    export_cell(folder / "model.pt", small_task, folder, folder.parent / "graphs")
    return folder


@pytest.fixture
def cell(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported cell, and of the traced graph beside it, to do harm to."""
    shutil.copytree(exported.parent, tmp_path / "copy")
    return tmp_path / "copy" / "transit"

"""What `record` brings together for MLflow; how it is sent is tested with the store, in tests/train."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.metrics.excess import significance
from sideband.benchmarks.report import ledger, results
from sideband.benchmarks.tracking.journal import JOURNAL, Record, read_journal

Run = tuple[Suite, Path]


def values(folder: Path) -> dict[str, float]:
    """The last value of every metric in a cell's journal."""
    lines = [line for line in read_journal(folder / JOURNAL) if line["kind"] == "metrics"]
    return {key: value for line in lines for key, value in line["values"].items()}


@pytest.fixture
def journalled(unlabelled_run: Run, tmp_path: Path) -> Run:
    """A finished run with journals and with files in place of graphs."""
    suite, folder = unlabelled_run[0], tmp_path / "toy"
    shutil.copytree(unlabelled_run[1], folder)
    for cell in suite.cells(shared=True):
        place = folder / cell.folder
        Record(place, {"suite": suite.name, **vars(cell)}).metrics({"loss": 1.0})
        for name in (*(f"{role}.onnx" for role in catalogue.get(cell.method).roles), "check.npz"):
            (place / name).touch()
    return suite, folder


def test_numbers_of_several_cells_are_recorded_with_the_cell_that_they_are_of(
    journalled: Run, command: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """δ_sys of a signal region comes from other cells, those of the validation window."""

    def unreachable(uri: str) -> None:
        raise ConnectionError("no store")

    monkeypatch.setattr(ledger, "migrate", unreachable)
    suite, folder = journalled
    command("benchmarks", "record", folder, "--runs", folder.parent)
    region = values(folder / "3300-3700/observed/s1/cathode")
    assert region["systematic_0.01"] == pytest.approx(0.2)  # 12 for 10 there
    assert region["systematic_0.001"] == pytest.approx(1.0)
    assert region["significance_0.01"] == pytest.approx(significance(12, 10, 2, 0.2))
    assert region["excess_0.01"] == 1.5
    assert not any(name.startswith("systematic") for name in values(folder / "2700-3100/observed/s1/cathode"))
    for cell in suite.cells(shared=True):  # every number of results.csv is there
        found = results.gather(suite, folder).numbers
        for key, each in vars(cell).items():
            found = found[found[key] == each]
        there = found[found["value"].notna()].set_index("metric")["value"].to_dict()
        assert there.items() <= values(folder / cell.folder).items()
        assert "fit_seconds" in there

"""The report's section on found signals."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Cell
from sideband.benchmarks.metrics.interval import DROP
from sideband.benchmarks.problems.search import signal
from tests.benchmarks.plain import written

FRACTIONS = np.geomspace(1e-4, 0.1, 31)
REGION, VALIDATION = "3.3-3.7", "4-4.4"
WIDTH = 0.25  # of the peak, in log w


def scanned(best: float, gain: float) -> dict[str, Any]:
    """A fit whose log-likelihood has a peak of height `gain` over the smallest fraction."""
    gains = gain - 0.5 * (np.log(FRACTIONS / best) / WIDTH) ** 2
    errors = np.full(len(FRACTIONS), 0.01)
    curve = {"fractions": FRACTIONS.tolist(), "gains": gains.tolist(), "errors": errors.tolist(), "gain": gain}
    half = np.exp(WIDTH * np.sqrt(2 * DROP))
    return {"interval": curve | {"low": best / half, "high": best * half}, "signal_fraction": best, "found": True}


@pytest.fixture
def results(tmp_path: Path) -> Any:
    suite = suites.load(
        written(
            tmp_path / "mine.yaml",
            windows=[[3.3, 3.7]],
            methods={"ranode_scan": {}},
            seeds=[1, 2],
            injections=[100, 0],
            validation_windows=[[4.0, 4.4]],
            validation_seeds=[1],
        )
    )
    places = [(cell.window, cell.injection, cell.seed) for cell in suite.cells() if cell.method == "ranode_scan"]
    tasks = pd.DataFrame(places, columns=["window", "injection", "seed"])
    tasks["data_in_window"] = np.where(tasks["window"] == VALIDATION, 2000, 1000)
    tasks["signal_in_window"] = 10
    return SimpleNamespace(suite=suite, tasks=tasks, mass_unit="TeV")


@pytest.mark.parametrize("seed", ["s1", "s2"])
def test_validation_windows_of_any_draw_lower_the_line(seed: str, results: Any) -> None:
    ours, theirs = scanned(0.01, 50.0), scanned(0.02, 6.0)
    cell = Cell(REGION, "n100", seed, "ranode_scan")
    fits = [(cell, ours), (Cell(VALIDATION, "n100", "s1", "ranode_scan"), theirs)]
    half = WIDTH * np.sqrt(2 * (DROP + 6.0 / 2))  # of a window with twice the events
    assert np.log(signal.ends(results, fits, cell, ours)) == pytest.approx(
        np.log(0.01) + half * np.array([-1, 1]), abs=0.02
    )
    other = [(cell, ours), (Cell(VALIDATION, "n0", "s1", "ranode_scan"), theirs)]
    statistical = ours["interval"]["low"], ours["interval"]["high"]
    assert signal.ends(results, other, cell, ours) == pytest.approx(statistical, rel=0.02)


def test_both_intervals_stand_in_the_table(results: Any) -> None:
    cell = Cell(REGION, "n100", "s1", "ranode_scan")
    fit = scanned(0.02, 50.0)
    table = signal._table(results, [(cell, fit)], {cell: (0.005, 0.08)})
    (row,) = table.rows
    assert dict(zip(table.head[5:7], row[5:7], strict=True)).keys() == {"truth, %", "statistical 95 % interval, %"}
    assert row[4:6] == ["2.00", "1.00"]
    assert row[7:10] == ["no", "0.500 to 8.00", "yes"]

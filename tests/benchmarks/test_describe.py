from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import describe
from infer import events
from tests.conftest import Outcome


def test_a_table_a_class_and_three_figures(
    command: Callable[..., Outcome], toy_events: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    path = toy_events(tmp_path / "own.h5", 4000, 400, label="label")
    done = command("benchmarks", "describe", path, "--mass", "m_vis")
    assert done.status == 0
    assert "own: background: 4,000 events" in done.out
    assert "own: signal: 400 events" in done.out
    assert "'width': no attribute 'unit'" in done.out
    figures = sorted((tmp_path / "figures").iterdir())
    assert [file.name for file in figures] == [
        f"{name}.{kind}" for name in ("correlation", "features", "spectrum") for kind in ("png", "svg")
    ]
    assert all(file.stat().st_size > 5000 for file in figures)


def test_ranks_are_spearman_s(toy_events: Callable[..., Path], tmp_path: Path) -> None:
    path = toy_events(tmp_path / "own.h5", 3000)
    (sample,) = describe.read(path, "m_vis")
    columns = events.read(path, ["m_vis", "charge"])
    ranks = [np.argsort(np.argsort(values)) for values in columns.values()]
    expected = np.corrcoef(ranks)[0, 1]
    table = describe.table(sample, "m_vis")
    rows = dict(zip(table.columns[0].cells, table.columns[-1].cells, strict=True))
    assert float(str(rows["charge"])) == pytest.approx(expected, abs=1e-3)
    assert rows["m_vis"] == ""


def test_constant_columns_and_single_events_are_described(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    path = toy_events(tmp_path / "own.h5", 1)
    assert len(describe.describe([path], tmp_path / "figures", "m_vis")) == 3


def test_what_cannot_be_described_is_refused(
    command: Callable[..., Outcome], toy_events: Callable[..., Path], tmp_path: Path
) -> None:
    path = toy_events(tmp_path / "own.h5", 100)
    assert "no column 'm_jj'" in command("benchmarks", "describe", path).refused()
    (tmp_path / "empty").mkdir()
    assert "no events file" in command("benchmarks", "describe", tmp_path / "empty").refused()
    assert "no such file" in command("benchmarks", "describe", tmp_path / "absent.h5").refused()
    toy_events(tmp_path / "none.h5", 0)
    assert "holds no events" in command("benchmarks", "describe", tmp_path / "none.h5", "--mass", "m_vis").refused()

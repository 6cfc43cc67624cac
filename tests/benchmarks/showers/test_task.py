from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import task
from sideband.benchmarks.problems.showers import draw
from sideband.infer.errors import BadInput
from tests.benchmarks.changes import doubled, replaced, said, widened
from tests.benchmarks.showers.test_report import SAMPLES, write_task

CHANGED: list[tuple[Callable[[h5py.File], Any], str]] = [
    (said(samples="no JSON"), "attribute 'samples' names no decays"),
    (said(samples='[{"weight": 5}]'), "attribute 'samples' names no decays"),
    (said(samples="[" * 20_000), "attribute 'samples' names no decays"),
    (said(photons=-1), "attribute 'photons' must be a whole number"),
    (replaced("target", [-1.0]), "'target' must be numbers above 0"),
    (replaced("test/sample", None), "no column 'sample' in '/test'"),
    (replaced("test/showers", np.ones(7)), "columns of unequal length"),
    (replaced("reference/showers", np.ones((20, 5))), r"'reference' has 'showers' of shape \(20, 5\)"),
    (doubled("reference/label"), "'reference' has labels other than 0 and 1"),
    (widened("data/energy"), r"'data' has 'energy' of shape \(10, 1\)"),
]


def test_a_task_reads_back(tmp_path: Path) -> None:
    write_task(tmp_path / "new" / "task.h5", 1)
    read = task.read(tmp_path / "new" / "task.h5")
    assert draw.check(read) == SAMPLES
    assert (read.mass, read.features, read.windowed) == ("energy", {"showers": 504}, False)


@pytest.mark.parametrize(("change", "message"), CHANGED)
def test_a_task_that_contradicts_itself_is_one_line(
    tmp_path: Path, change: Callable[[h5py.File], Any], message: str
) -> None:
    path = tmp_path / "new" / "task.h5"
    write_task(path, 1)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(BadInput, match=message):
        draw.check(task.read(path))

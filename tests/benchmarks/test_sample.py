"""A generated sample in place of the embedded events."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from sideband.benchmarks.events.own import DIJET_FEATURES
from sideband.benchmarks.grid import suite as suites
from sideband.infer.errors import BadInput
from tests.conftest import OWN


def sample(folder: Path, events_of: dict[str, int]) -> Path:
    """A folder of dijets as `generate sample` leaves it."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for part, number in events_of.items():
        with h5py.File(folder / f"{part}.h5", "w") as file:
            for name in ("m_jj", *DIJET_FEATURES):
                file[name] = random.uniform(2.3, 5.0, number).astype(np.float32)
                file[name].attrs["unit"] = "TeV" if name in ("m_jj", "m_j1", "dm_j") else ""
    return folder


def test_a_sample_takes_the_place_of_the_embedded_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sample(tmp_path / "mine", {"data": 10_000, "signal": 1000, "simulation": 500})
    found = suites.load("smoke", sample=folder)
    assert found.name == "smoke-mine"
    assert found["data_events"] == 6000
    assert "mine: 6,000 events for the data, where smoke would draw 12,000; all are used" in capsys.readouterr().out
    dataset = found.dataset()
    assert (len(dataset.data), int(dataset.data.label.sum())) == (11_000, 1000)
    assert dataset.features == DIJET_FEATURES
    assert dataset.background is None
    assert dataset.simulation is not None

    whole = sample(tmp_path / "whole", {"data": 13_000, "signal": 10, "background": 5})
    without = suites.load("smoke", sample=whole)
    assert without["data_events"] == 12_000
    assert set(found["methods"]) - set(without["methods"]) == {"salad", "feta"}
    line = "whole: no simulation.h5 there, which salad, feta would need; they are left out\n"
    assert capsys.readouterr().out == line


def test_samples_that_will_not_do_are_refused(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    folder = sample(tmp_path / "mine", {"data": 100})
    with pytest.raises(BadInput, match=r"no signal.h5 there; `.* generate sample` makes it"):
        suites.load("smoke", sample=folder)
    toy_events(tmp_path / "own.h5", 500)
    own = {"about": "", "dataset": OWN, "mass_range": [2000, 6000], "windows": [[3300, 3700]], "seeds": [1]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own | {"methods": {"cwola": {}}}))
    with pytest.raises(BadInput, match="has events of its own"):
        suites.load(tmp_path / "own.yaml", sample=folder)

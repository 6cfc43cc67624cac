from typing import Any

import numpy as np
import pytest

from sideband import Search

Table = dict[str, np.ndarray[Any, Any]]

# Fits that take a second.
TINY: dict[str, Any] = {
    "shared": {
        "sideband": {
            "flow": {"couplings": 1, "hidden": 8, "layers": 1},
            "training": {"steps": 40, "interval": 20, "batch": 256, "ema": 0.9},
        }
    },
    "classifier": {"members": 1, "iterations": 10, "bins": 31},
    "folds": 2,
}


@pytest.fixture(scope="session")
def own() -> Table:
    """Events without labels: `mass` in GeV, two continuous features and a count."""
    random = np.random.default_rng(0)
    mass = 2000 + random.exponential(1000, 5000)
    return {
        "mass": mass,
        "width": random.gamma(2, 0.1, 5000),
        "charge": random.normal(0, 1, 5000) + mass / 10_000,
        "tracks": random.poisson(30, 5000),
    }


def features(own: Table) -> Table:
    return {name: values for name, values in own.items() if name != "mass"}


@pytest.fixture(scope="session")
def search(own: Table) -> Search:
    """A search with one window to validate in."""
    return Search(own["mass"], features(own), (3300, 3700), unit="GeV", validation_windows=[(2700, 3000)], **TINY)

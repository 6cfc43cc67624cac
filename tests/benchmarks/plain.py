"""Suites that tests write: a plain search, a plain suite of showers, and changes to them."""

from pathlib import Path
from typing import Any

import yaml

from sideband.benchmarks.grid import suite as suites

SHIPPED = suites.SUITES

PLAIN: dict[str, Any] = {
    "about": "a test",
    "dataset": {"source": "dijets"},
    "mass_range": [2.3, 5.0],
    "windows": [[3.3, 3.7], [3.1, 3.5]],
    "injections": [0, 500],
    "seeds": [1, 2],
    "methods": {"cathode": {}, "iad": None},
}


def written(path: Path, **changes: Any) -> Path:
    content = {key: value for key, value in (PLAIN | changes).items() if value is not ...}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


SHOWERS: dict[str, Any] = {
    "about": "showers",
    "dataset": {"source": "showers", "photons": 2000},
    "seeds": [1, 2],
    "methods": {"caloflow": {}, "shower_supervised": {}},
}

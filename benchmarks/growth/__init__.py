"""How a run grows: which sizes are measured, one after the other, from one common point."""

from dataclasses import dataclass
from typing import Any

from sideband.benchmarks.events import dimuons

AXES: dict[str, tuple[int, ...]] = {
    "events": (100_000, 1_000_000, 10_000_000),
    "features": (2, 5, 20),
    "windows": (1, 10, 30),
    "methods": (2, 4, 8),
}
COMMON = {"events": 100_000, "features": 5, "windows": 1, "methods": 2}
# CATHODE fits one flow a window, SIGMA one network for all windows.
METHODS = ("cathode", "sigma", "salad", "radot", "transit", "lacathode", "cwola", "iad")
FIRST, WIDTH = 25.0, 2.0  # GeV: the lowest window's centre and the width of each; centres are 1 GeV apart
MOST_INJECTED = 10_000  # there are 40,000 signal events, of which the test takes its share


@dataclass(frozen=True)
class Point:
    """One size of a run.

    Args:
        axis: what differs from the common point.
        value: its size.
    """

    axis: str
    value: int

    @property
    def name(self) -> str:
        """What its files are called; the common point is one of every axis, and measured once."""
        return "common" if COMMON[self.axis] == self.value else f"{self.axis}_{self.value}"

    def suite(self) -> dict[str, Any]:
        """The sections of its suite: muon pairs, with noise for features that they do not have."""
        size = {**COMMON, self.axis: self.value}
        own = dimuons.FEATURES[: size["features"]]
        centres = [FIRST + index for index in range(size["windows"])]
        return {
            "about": f"growth, {self.name}",
            "dataset": {
                "source": "dimuons",
                "events": size["events"],
                "features": list(own),
                "noise": size["features"] - len(own),
            },
            "mass_range": [dimuons.LOW, dimuons.HIGH],
            "windows": [[centre - WIDTH / 2, centre + WIDTH / 2] for centre in centres],
            "injections": [min(size["events"] // 200, MOST_INJECTED)],
            "seeds": [1],
            "preset": "quick",
            "closure_events": 10_000,
            "methods": {name: {} for name in METHODS[: size["methods"]]},
            "throughput": {"roles": []},  # takes as long for any size
        }


def points(axes: tuple[str, ...]) -> list[Point]:
    """The points of some axes."""
    return [Point(axis, value) for axis in axes for value in AXES[axis]]

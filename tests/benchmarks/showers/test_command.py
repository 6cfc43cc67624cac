from collections.abc import Callable
from pathlib import Path

import pytest

from sideband.benchmarks.events import showers as readers
from tests.conftest import Outcome

Command = Callable[..., Outcome]


def test_a_file_of_decays_with_figures(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "chi.h5"
    done = command("benchmarks", "showers", "--events", 40, "--mass", 0.5, "--depth", 1.44, "--out", out)
    assert done.status == 0
    made = readers.read(out)
    assert (made.energy == 50).all()
    left = 40 - len(made)
    assert done.out.startswith(f"{out}: {len(made)} showers of 0.5 GeV, 1.44 m")
    assert (f"{left} left no energy" in done.out) == (left > 0)
    assert {path.name for path in (tmp_path / "chi").glob("*.png")} >= {"images.png", "spectrum.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events", 0], "--events: '0' is not a whole number from 1"),
        (["--depth", 1.2], "of chi, whose --mass [GeV] is missing"),
        (["--mass", 5], "give either a depth [m] or a lifetime [ns]"),
        (["--mass", 60, "--depth", 1.2], "mass 60 GeV; must be above 0 and below"),
        (["--mass", 5, "--depth", 2], "depth 2 m; must be from 0 to below 1.48 m"),
        (["--events", 1, "--mass", 5, "--depth", 1.4799], "none of 1 showers of 5 GeV, 1.48 m left any energy"),
    ],
)
def test_decays_that_cannot_be_are_refused(
    command: Command, tmp_path: Path, arguments: list[object], message: str
) -> None:
    line = command("benchmarks", "showers", *arguments, "--out", tmp_path / "chi.h5").refused()
    assert message in line
    assert not (tmp_path / "chi.h5").exists()

"""A few fresh events of each kind, made once. Where Pythia has no wheel, the tests that need it are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sideband.benchmarks.simulate.dijets import processes

if TYPE_CHECKING:
    from sideband.benchmarks.simulate.dijets.chunk import Chunk

SEED = 7


@pytest.fixture(scope="session")
def qcd() -> Chunk:
    from sideband.benchmarks.simulate.dijets import chunk

    return chunk.make(processes.qcd(), SEED, 0, 700)


@pytest.fixture(scope="session")
def signal() -> Chunk:
    """The default signal, with constituents."""
    from sideband.benchmarks.simulate.dijets import chunk

    return chunk.make(processes.signal(), SEED, 0, 400, constituents=128)

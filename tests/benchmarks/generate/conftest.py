"""A few fresh events of each kind, made once. Where Pythia has no wheel there is nothing to test."""

import pytest

pytest.importorskip("pythia8mc", reason="Pythia is not installed here: pip install '.[generate]'")

from benchmarks.generate import chunk, processes

SEED = 7


@pytest.fixture(scope="session")
def qcd() -> chunk.Chunk:
    return chunk.make(processes.qcd(), SEED, 0, 700)


@pytest.fixture(scope="session")
def signal() -> chunk.Chunk:
    """The default signal, with constituents."""
    return chunk.make(processes.signal(), SEED, 0, 400, constituents=128)

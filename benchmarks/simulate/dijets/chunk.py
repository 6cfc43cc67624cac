"""One chunk of events, from freshly seeded generators: Pythia, detector, jets, columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events import dijet
from sideband.benchmarks.simulate.dijets import detector, jets
from sideband.benchmarks.simulate.dijets.processes import Process
from sideband.benchmarks.simulate.dijets.source import Source
from sideband.infer.draws import generator
from sideband.infer.errors import BadInput

SIZE = 2000  # events in a chunk; Pythia starts anew for each chunk
BATCH = 500  # events at a time; more would only take more memory
GIVE_UP = 4000  # events without a single one that passes the cut

UNITS = {**dijet.UNITS, "pt_j1": "TeV", "pt_j2": "TeV", "constituents": "pt [GeV], eta, phi"}

Columns = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Chunk:
    """Events, and what is needed for their cross section.

    Args:
        columns: the columns of our layout `[N]`, and `constituents` `[N, 2, P, 3]` if they were requested.
        made: number of events from Pythia; selected: how many of them passed the cut, N or a few more.
        cross_section: of the events from Pythia, with its error [pb].
    """

    columns: Columns
    made: int
    selected: int
    cross_section: tuple[float, float]


def make(process: Process, seed: int, index: int, events: int = SIZE, constituents: int = 0) -> Chunk:
    """The first `events` events of chunk `index`, which depend on nothing but the arguments.

    Args:
        process: what to make.
        seed: of all chunks; different processes are independent even with the same seed.
        index: the number of the chunk.
        events: how many of its events.
        constituents: how many leading constituents of each jet to keep.

    Raises:
        BadInput: nothing passes the cut.
    """
    name = " ".join(process.settings)
    source = Source(process, int(generator(seed, f"pythia {name}", index).integers(1, 900_000_001)))
    random = generator(seed, f"detector {name}", index)
    found: list[Columns] = []
    selected, asked = 0, 0
    while selected < events:
        if not selected and asked >= GIVE_UP:
            raise BadInput(
                f"{process.what}: none of {asked} events has a jet above --pt-min {process.pt_min:g} TeV; choose less"
            )
        needed = 1.05 * (events - selected) * (asked / selected if selected else 2)
        tries = int(np.clip(needed, 20, BATCH))
        observed = detector.observe(random, *source.particles(tries))
        passed = jets.find(*observed, 1000 * process.pt_min)
        found.append(columns(passed, constituents))
        selected, asked = selected + len(passed), asked + tries
    table = {name: np.concatenate([part[name] for part in found])[:events] for name in found[0]}
    return Chunk(table, source.made, selected, source.cross_section())


def columns(found: jets.Jets, constituents: int) -> Columns:
    """The columns of our layout; with constituents, also the momentum and the number of constituents of each jet."""
    order = dijet.lighter_first(found.p)[None]
    p, tau = (np.take_along_axis(values, order, 2) for values in (found.p, found.tau))
    table = dijet.columns(p, tau)
    if constituents:
        pt = np.hypot(p[0], p[1])
        number = np.take_along_axis(jets.number(found.constituents), order[0], 1)
        more = {"pt": pt / 1000, "eta": np.arcsinh(p[2] / pt), "phi": np.arctan2(p[1], p[0]), "n": number}
        table |= {f"{name}_j{jet + 1}": values[:, jet] for name, values in more.items() for jet in (0, 1)}
        leading = jets.leading(found.constituents, constituents)
        table["constituents"] = np.take_along_axis(leading, order[0, :, :, None, None], 1)
    return {name: values.astype(np.float32) for name, values in table.items()}

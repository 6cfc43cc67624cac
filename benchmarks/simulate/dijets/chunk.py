"""One chunk of events, from its own freshly seeded generators: Pythia, detector, jets, columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events import dijet
from sideband.benchmarks.simulate.dijets import detector, jets
from sideband.benchmarks.simulate.dijets.processes import Process
from sideband.benchmarks.simulate.dijets.source import Source
from sideband.infer.draws import generator
from sideband.infer.errors import BadInput

SIZE = 2000  # events of a chunk; Pythia starts anew for each
BATCH = 500  # events at a time; more would only need more memory
GIVE_UP = 4000  # tries without one event that passes the cut

UNITS = {**dijet.UNITS, "pt_j1": "TeV", "pt_j2": "TeV", "constituents": "pt [GeV], eta, phi"}

Columns = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Chunk:
    """Events, and what they say of cross sections.

    Args:
        columns: our layout's columns, each `[N]`; `constituents` `[N, 2, P, 3]` where asked for.
        made: events that Pythia made for it; selected: those of them that passed the cut, N or a few more.
        cross_section: of what Pythia makes, with its error [pb].
    """

    columns: Columns
    made: int
    selected: int
    cross_section: tuple[float, float]


def make(process: Process, seed: int, index: int, events: int = SIZE, constituents: int = 0) -> Chunk:
    """The first `events` events of chunk `index`: the same ones whatever else is made, and wherever.

    Args:
        process: what to make.
        seed: of all chunks; chunks of different processes have nothing in common either.
        index: which chunk.
        events: how many of it.
        constituents: leading constituents of each jet to keep.

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
    """Our layout's columns; with constituents, also each jet's momentum and number of constituents."""
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

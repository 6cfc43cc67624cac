"""Measure how fast events are made and whether memory stays flat: `python -m benchmarks.simulate.dijets.speed`.

For each kind it prints the selected events per CPU second of one process, over chunks as the generator makes them
(including the start of Pythia), and the resident memory after the first and the last chunk.
"""

import resource
import sys
import time

import numpy as np

from sideband.benchmarks.simulate.dijets import chunk, processes
from sideband.infer import provenance
from sideband.infer.arguments import Parser, whole
from sideband.infer.errors import guarded


def resident_mib() -> float:
    """Resident memory of this process [MiB]; the peak on systems that do not report it."""
    try:
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return provenance.peak_memory_mib()


def main() -> None:
    """Time each kind of event."""
    parser = Parser(prog="python -m benchmarks.simulate.dijets.speed", description=__doc__)
    parser.add_argument("--chunks", type=whole(), default=5, help="chunks of 2,000 events a kind (default 5)")
    arguments = parser.parse_args()
    kinds = {
        "qcd": processes.qcd(),
        "simulation": processes.simulation(),
        "signal, 2 prongs": processes.signal(),
        "signal, 3 prongs": processes.signal(prongs=3),
    }
    chunk.make(kinds["qcd"], 1, 0, 1)  # compiles the detector
    print("; ".join(f"{key} {value}" for key, value in provenance.record().items()), file=sys.stderr)
    for name, process in kinds.items():
        rates, memory = [], []
        for index in range(arguments.chunks):
            start = time.process_time()
            chunk.make(process, 1, index)
            rates.append(chunk.SIZE / (time.process_time() - start))
            memory.append(resident_mib())
        print(
            f"{name}: {np.median(rates):.0f} events per CPU second ({min(rates):.0f}-{max(rates):.0f}); "
            f"resident {memory[0]:.0f} MiB after the first chunk, {memory[-1]:.0f} MiB after {len(memory)}"
        )


if __name__ == "__main__":
    guarded(main)

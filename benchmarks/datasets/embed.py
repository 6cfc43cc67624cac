"""How the embedded dijets were cut from generated files.

    python -m benchmarks.datasets.embed --qcd qcd.h5 --signal signal.h5 --simulation simulation.h5

Takes events files in our layout; keeps rows in order, so any cut by row is unbiased, and rounds mantissas to 12 bits
(1 part in 8,000, far below the detector's resolution), which nearly halves the size.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import DIJETS
from benchmarks.datasets.hdf5 import DIJET_FEATURES
from infer import events
from infer.errors import guarded

COLUMNS = ("m_jj", *DIJET_FEATURES)
MANTISSA_BITS = 12
QCD, SIGNAL, SIMULATION = 450_000, 60_000, 150_000
SCANNED = (2.9, 4.1)  # TeV: every window of the sliding scan


def rounded(values: NDArray[np.float32], bits: int = MANTISSA_BITS) -> NDArray[np.float32]:
    """Float32 values with all but `bits` mantissa bits rounded away, so that they compress."""
    drop = 23 - bits
    raw = values.astype(np.float32).view(np.uint32)
    return ((raw + np.uint32(1 << (drop - 1))) >> np.uint32(drop) << np.uint32(drop)).view(np.float32)


def main() -> None:
    """Cut and write the four files of the embedded set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datasets.embed", description=__doc__)
    for name in ("qcd", "signal", "simulation"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()

    rest = events.read(arguments.qcd, COLUMNS, rows=slice(QCD, None))
    inside = (rest["m_jj"] > SCANNED[0]) & (rest["m_jj"] < SCANNED[1])
    cut = f"m_jj in {SCANNED[0]}-{SCANNED[1]} TeV"
    parts = {
        "data": (arguments.qcd, events.read(arguments.qcd, COLUMNS, rows=slice(QCD)), "mass not cut"),
        "background": (arguments.qcd, {name: values[inside] for name, values in rest.items()}, cut),
        "signal": (arguments.signal, events.read(arguments.signal, COLUMNS, rows=slice(SIGNAL)), "mass not cut"),
        "simulation": (
            arguments.simulation,
            events.read(arguments.simulation, COLUMNS, rows=slice(SIMULATION)),
            "mass not cut",
        ),
    }
    for part, (source, columns, cut) in parts.items():
        with events.atomic(DIJETS / f"{part}.h5") as temporary, h5py.File(temporary, "w") as file:
            with h5py.File(source) as original:
                for name in ("what", "made_with", "pythia_settings", "selection"):
                    file.attrs[name] = str(original.attrs[name]).split("; see ")[0].split("; mass not cut")[0]
                units = {name: str(original[name].attrs["unit"]) for name in COLUMNS}
            file.attrs["cut"] = f"{cut}; the first {len(columns['m_jj'])} such events of those generated for this part"
            file.attrs["precision"] = f"mantissas rounded to {MANTISSA_BITS} bits"
            for name in COLUMNS:
                data = file.create_dataset(
                    name, data=rounded(columns[name]), compression="gzip", compression_opts=9, shuffle=True
                )
                data.attrs["unit"] = units[name]
            label = np.full(len(columns["m_jj"]), part == "signal", dtype=np.int8)
            file.create_dataset("label", data=label, compression="gzip", compression_opts=9)


if __name__ == "__main__":
    guarded(main)

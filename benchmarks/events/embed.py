"""The embedded dijets, cut from generated files: the last step of `python -m benchmarks generate embedded`.

Rows stay in order, so a cut by row is unbiased. Mantissas are rounded to 12 bits (1 part in 8,000, far below the
detector's resolution), which nearly halves the size.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.own import DIJET_FEATURES
from sideband.benchmarks.events.sources import PARTS
from sideband.infer import events

COLUMNS = ("m_jj", *DIJET_FEATURES)
MANTISSA_BITS = 12
QCD, SIGNAL, SIMULATION = 450_000, 60_000, 150_000
# What is generated for them; further background is cut from the rest of the QCD.
GENERATED = {"qcd": 1_055_000, "signal": SIGNAL, "simulation": SIMULATION}
SCANNED = (2.9, 4.1)  # TeV: every window of the sliding scan
ORIGIN = (
    "what", "made_with", "pythia_settings", "selection", "seed",
    "cross_section_pb", "cross_section_error_pb", "cross_section_of",
)  # fmt: skip


def needed(qcd: int) -> dict[str, int]:
    """How many events of each kind to generate beside `qcd` QCD events, in the proportions of the embedded set."""
    return {name: max(number * qcd // GENERATED["qcd"], 1) for name, number in GENERATED.items()}


def rounded(values: NDArray[np.float32], bits: int = MANTISSA_BITS) -> NDArray[np.float32]:
    """Float32 values rounded to `bits` bits of mantissa, so that they compress."""
    drop = 23 - bits
    raw = values.astype(np.float32).view(np.uint32)
    return ((raw + np.uint32(1 << (drop - 1))) >> np.uint32(drop) << np.uint32(drop)).view(np.float32)


def cut(generated: Path, to: Path) -> list[Path]:
    """Cut `qcd.h5`, `signal.h5` and `simulation.h5` of one folder into the four parts of the set in another.

    Raises:
        BadInput: a file is missing or cannot be read.
    """
    qcd = events.read(generated / "qcd.h5", COLUMNS)
    data = len(qcd["m_jj"]) * QCD // GENERATED["qcd"]
    rest = {name: values[data:] for name, values in qcd.items()}
    inside = events.in_window(rest["m_jj"], SCANNED)
    sources = {"data": "qcd", "background": "qcd", "signal": "signal", "simulation": "simulation"}
    tables = {
        "data": {name: values[:data] for name, values in qcd.items()},
        "background": {name: values[inside] for name, values in rest.items()},
        **{name: events.read(generated / f"{name}.h5", COLUMNS) for name in ("signal", "simulation")},
    }
    for part in PARTS:
        cut_on = f"m_jj in {SCANNED[0]}-{SCANNED[1]} TeV" if part == "background" else "mass not cut"
        _write(to / f"{part}.h5", generated / f"{sources[part]}.h5", tables[part], part == "signal", cut_on)
    return [to / f"{part}.h5" for part in PARTS]


def _write(path: Path, source: Path, columns: events.Columns, signal: bool, cut: str) -> None:
    number = len(columns["m_jj"])
    with events.new_file(path) as file, events.opened(source) as original:
        file.attrs.update({name: original.attrs[name] for name in ORIGIN if name in original.attrs})
        file.attrs["cut"] = f"{cut}; the first {number} such events of those generated for this part"
        file.attrs["precision"] = f"mantissas rounded to {MANTISSA_BITS} bits"
        packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
        for name, values in columns.items():
            data = file.create_dataset(name, data=rounded(values), **packed)
            data.attrs["unit"] = original[name].attrs["unit"]
        file.create_dataset("label", data=np.full(number, signal, np.int8), **packed)

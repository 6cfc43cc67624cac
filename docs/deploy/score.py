"""Run an exported file on a table of events. Needs numpy and onnxruntime, and nothing of Sideband.

    python score.py score.onnx events.csv > scores.csv

The table has a line of names, then one line an event, in the units that the file's metadata name. A column of several
numbers, such as `noise`, is `noise_0`, `noise_1` and so on. Where two inputs have columns of one name, `INPUT.COLUMN`
tells them apart.
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

ROWS = 1000  # events a call: what the processor's cache holds
Numbers = NDArray[np.float32]


class Session:
    """An exported file: the names of what each input takes and each output gives, and what runs it."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        told = self.session.get_modelmeta().custom_metadata_map
        if not {"inputs", "outputs"} <= told.keys():
            raise ValueError(f"{path}: not a file of Sideband")
        self.inputs, self.outputs = (_names(json.loads(told[side])) for side in ("inputs", "outputs"))

    def run(self, events: Mapping[str, Numbers]) -> dict[str, Numbers]:
        """Columns `[N]` by name → the columns of all outputs."""
        feeds = {
            name: np.column_stack([_found(events, name, column) for column in columns]).astype(np.float32)
            for name, columns in self.inputs.items()
        }
        parts = [
            np.column_stack(
                self.session.run(list(self.outputs), {name: each[at : at + ROWS] for name, each in feeds.items()})
            )
            for at in range(0, len(next(iter(feeds.values()))), ROWS)
        ]
        given = [column for columns in self.outputs.values() for column in columns]
        return dict(zip(given, np.concatenate(parts).T, strict=True))


def _names(ports: Mapping[str, dict[str, list]]) -> dict[str, list[str]]:
    """A name for each number of an input or output."""
    return {
        name: [
            column if width == 1 else f"{column}_{index}"
            for column, width in zip(port["columns"], port["widths"], strict=True)
            for index in range(width)
        ]
        for name, port in ports.items()
    }


def _found(events: Mapping[str, Numbers], name: str, column: str) -> Numbers:
    for key in (f"{name}.{column}", column):
        if key in events:
            return events[key]
    raise ValueError(f"no column '{column}' for the input '{name}'")


def read(path: str) -> dict[str, Numbers]:
    """The columns of a table."""
    with open(path, newline="") as file:
        lines = list(csv.reader(file))
    if len(lines) < 2:
        raise ValueError(f"{path}: no events")
    names, *rows = lines
    values = np.array(rows, dtype=np.float32).reshape(len(rows), len(names))
    return dict(zip(names, values.T, strict=True))


def write(columns: Mapping[str, Numbers], file) -> None:
    """Write a table; nine digits bring a float32 back as it was."""
    np.savetxt(file, np.column_stack(list(columns.values())), "%.9g", ",", header=",".join(columns), comments="")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Run an exported file on a table of events.")
    parser.add_argument("model", help="an exported file, such as score.onnx")
    parser.add_argument("events", help="a table with a line of names, then one line an event")
    arguments = parser.parse_args()
    try:
        write(Session(arguments.model).run(read(arguments.events)), sys.stdout)
    except Exception as error:  # onnxruntime raises its own exception types, one per failure
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

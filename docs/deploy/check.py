"""Check any program that runs exported files against the check vectors beside them.

    python check.py score.onnx ./sideband_score

The program is called with the file and a table of events, and prints a table of what the file gives. Needs `score.py`
and what that needs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from score import Session, read, write


def check(model: Path, program: list[str]) -> float:
    """The largest difference of a program's output from the check vectors, in units of the tolerance."""
    session, stem = Session(str(model)), model.stem
    with np.load(model.with_name("check.npz")) as vectors, tempfile.TemporaryDirectory() as folder:
        events, found = Path(folder) / "events.csv", Path(folder) / "found.csv"
        columns = {
            f"{name}.{column}": values
            for name, names in session.inputs.items()
            for column, values in zip(names, vectors[f"{stem}.input.{name}"].T, strict=True)
        }
        with open(events, "w") as file:
            write(columns, file)
        with open(found, "w") as file:
            subprocess.run([*program, str(model), str(events)], stdout=file, check=True)
        given = np.column_stack(list(read(str(found)).values()))
        expected = np.column_stack([vectors[f"{stem}.output.{name}"] for name in session.outputs])
        return float(
            (abs(given - expected) / (vectors[f"{stem}.atol"] + vectors[f"{stem}.rtol"] * abs(expected))).max()
        )


if __name__ == "__main__":
    ratio = check(Path(sys.argv[1]), sys.argv[2:])
    good = ratio <= 1
    print(
        f"{sys.argv[1]}: {'reproduced' if good else 'NOT REPRODUCED'}: largest difference {ratio:.3g} of the tolerance"
    )
    sys.exit(not good)

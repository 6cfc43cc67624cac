"""Check any program that runs exported files against the check vectors beside them.

    python check.py score.onnx ./sideband_score

The program is called with the file and a table of events, and prints a table of what the file gives. Needs `score.py`
and what that needs.
"""

import argparse
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
        if given.shape != expected.shape:
            raise ValueError(f"the program gives a table of {given.shape}, and not {expected.shape}")
        return float(
            (abs(given - expected) / (vectors[f"{stem}.atol"] + vectors[f"{stem}.rtol"] * abs(expected))).max()
        )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Check a program against the check vectors beside an exported file.")
    parser.add_argument("model", type=Path, help="an exported file, such as score.onnx")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="the program, and what it takes before the file")
    arguments = parser.parse_args()
    if not arguments.program:
        parser.error("name a program behind the file")
    try:
        ratio = check(arguments.model, arguments.program)
    except Exception as error:  # onnxruntime raises its own exception types, one per failure
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    verdict = "reproduced" if ratio <= 1 else "NOT REPRODUCED"  # which NaN is
    print(f"{arguments.model}: {verdict}: largest difference {ratio:.3g} of the tolerance")
    return int(verdict != "reproduced")


if __name__ == "__main__":
    sys.exit(main())

"""python -m export cell|compare: fitted modules to checked ONNX files, and torch timed against ONNX Runtime."""

import argparse
from pathlib import Path

from infer.errors import guarded


def main() -> int:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    cell = commands.add_parser("cell", help="export every graph of a fit")
    cell.add_argument("fit", type=Path, help="model.pt")
    cell.add_argument("--task", type=Path, required=True, help="the task it was fitted on")
    cell.add_argument("--out", type=Path, help="folder to write to (default: the fit's own)")
    arguments = parser.parse_args()
    return _cell(arguments)


def _cell(arguments: argparse.Namespace) -> int:
    import torch

    from export.cell import export_cell

    torch.set_num_threads(1)
    for path in export_cell(arguments.fit, arguments.task, arguments.out or arguments.fit.parent):
        print(f"{path}: exported")
    return 0


if __name__ == "__main__":
    guarded(main)

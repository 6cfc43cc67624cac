"""python -m export cell|compare: fitted modules to checked ONNX files, and torch timed against ONNX Runtime."""

import argparse
from pathlib import Path

from sideband.infer.arguments import Commands, Parser, calling, execute, folder, number, whole
from sideband.infer.errors import guarded

# What the commands import; the grid starts their steps in processes that have it.
HEAVY = ("sideband.export.cell", "sideband.export.compare", "onnxscript.rewriter.rules.common", "sklearn.ensemble")


def main() -> int:
    """Parse the command line and run one command."""
    parser = Parser(prog=f"python -m {__package__}", description=__doc__)
    add_commands(parser)
    return execute(parser)


def add_commands(parser: Parser) -> Commands:
    """Add the commands to a parser."""
    commands = parser.add_subparsers(dest="command", required=True)
    cell = commands.add_parser("cell", help="export every graph of a fit")
    cell.add_argument("fit", type=Path, help="model.pt")
    cell.add_argument("--task", type=Path, required=True, help="the task it was fitted on")
    cell.add_argument("--out", type=folder, help="folder to write to (default: the fit's own)")
    cell.add_argument("--cache", type=folder, help="folder for traced graphs, which modules of one shape share")

    compare = commands.add_parser("compare", help="time torch against ONNX Runtime on one graph; run it alone")
    compare.add_argument("fit", type=Path, help="model.pt")
    compare.add_argument("model", type=Path, help="the file exported from it")
    compare.add_argument("--task", type=Path, required=True, help="the task, for realistic inputs")
    compare.add_argument("--out", type=Path, help="JSON file to write")
    compare.add_argument(
        "--provider", default="cpu", choices=("cpu", "cuda"), help="of both engines (default cpu); no fallback"
    )
    compare.add_argument(
        "--batches", type=whole(1, 10**6), nargs="+", default=[100, 1000, 10000], help="events per call"
    )
    compare.add_argument("--repeats", type=whole(3, 10**4), default=10, help="most repeats of a row (default 10)")
    compare.add_argument(
        "--seconds", type=number(0, 3600), default=2.0, help="time of a row with all its repeats (default 2)"
    )
    compare.add_argument("--compile", action="store_true", help="time torch.compile too")

    return calling(commands, {"cell": _cell, "compare": _compare})


def _cell(arguments: argparse.Namespace) -> int:
    import torch

    from sideband.export.cell import export_cell

    torch.set_num_threads(1)
    for path in export_cell(arguments.fit, arguments.task, arguments.out or arguments.fit.parent, arguments.cache):
        print(f"{path}: exported")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from sideband.export.compare import compare
    from sideband.infer import events

    if arguments.out:
        events.check_output(arguments.out, [arguments.fit, arguments.model, arguments.task])
    rows = []
    for row in compare(
        arguments.fit,
        arguments.model,
        arguments.task,
        arguments.batches,
        arguments.repeats,
        arguments.seconds,
        arguments.provider,
        arguments.compile,
    ):
        rows.append(row)
        rate = f"{row['events_per_second']:12,.0f} events/s" if "events_per_second" in row else row["missing"]
        print(f"{row['engine']:14s} batch {row['batch']:6d}  {row['threads']} threads  {rate}", flush=True)
    if arguments.out:
        events.write_json(arguments.out, rows)
    return 0


if __name__ == "__main__":
    guarded(main)

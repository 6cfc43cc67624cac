"""sideband COMMAND: run suites, fit and export methods, use exported files, make and check events."""

import os
from importlib import metadata
from typing import NoReturn

from sideband.benchmarks.__main__ import add_commands
from sideband.export import __main__ as export
from sideband.infer import __main__ as infer
from sideband.infer.arguments import Parser, execute
from sideband.infer.errors import guarded
from sideband.train import __main__ as train

STAGES = {
    "train": (train, "fit one method, or check the settings of a suite's fits"),
    "export": (export, "turn a fit into checked ONNX files"),
    "infer": (infer, "draw templates, score events, time and check exported files"),
}


def main(prog: str = "sideband") -> int:
    """Parse the command line and run one command, as it is also called by `python -m`."""
    parser = Parser(prog=prog, description=__doc__)
    parser.add_argument("--version", action="version", version=version())
    commands = add_commands(parser)
    train.add_fit(commands)
    for name, (package, what) in STAGES.items():
        package.add_commands(commands.add_parser(name, help=what, description=what))
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        import argcomplete

        argcomplete.autocomplete(parser)
    return execute(parser)


def version() -> str:
    """The version that is installed, in words."""
    try:
        return f"sideband {metadata.version('sideband')}"
    except metadata.PackageNotFoundError:  # a checkout
        return "sideband, not installed"


def command() -> NoReturn:
    """The script `sideband`."""
    guarded(main)


if __name__ == "__main__":
    guarded(lambda: main("python -m sideband"))

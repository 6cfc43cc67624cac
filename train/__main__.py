"""python -m sideband.train fit|check: fit background models, and check the settings of a suite's fits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sideband.infer.arguments import Commands, Parser, calling, execute, folder, whole
from sideband.infer.errors import BadInput, guarded

# What the commands import; the grid starts their steps in processes that have it.
HEAVY = ("sideband.train.cell", "sklearn.ensemble")


def main() -> int:
    """Parse the command line and run one command."""
    parser = Parser(prog=f"python -m {__package__}", description=__doc__)
    add_commands(parser)
    return execute(parser)


def add_commands(parser: Parser) -> Commands:
    """Add the commands to a parser."""
    commands = parser.add_subparsers(dest="command", required=True)
    add_fit(commands)
    check = commands.add_parser("check", help="check the settings of every fit in a suite")
    check.add_argument("suite", help="a suite by name, or a suite file")
    return calling(commands, {"check": _check})


def add_fit(commands: Commands) -> None:
    """Add the command `fit`."""
    fit = commands.add_parser("fit", help="fit one method on one task")
    fit.add_argument("method", help="a method or a shared fit, by its name in a suite")
    fit.add_argument("--task", type=Path, required=True, help="task.h5")
    fit.add_argument("--out", type=folder, required=True, help="folder for model.pt and fit.json")
    fit.add_argument("--suite", help="suite whose settings to use (default: those of the papers)")
    fit.add_argument("--needs", nargs="*", default=[], metavar="NAME=MODEL.PT", help="fits that the method stands on")
    fit.add_argument("--base", type=Path, help="model.pt of the same method, to give it another classifier")
    fit.add_argument("--device", default=None, help="cpu or cuda; no fallback (default: the suite's, else cpu)")
    fit.add_argument("--threads", type=whole(1, 1024), default=1, help="CPU threads (default 1)")
    fit.add_argument("--checkpoints", type=folder, help="folder for unfinished work alone (default: OUT/checkpoints)")
    fit.add_argument(
        "--checkpoint-seconds", type=whole(0, 86_400), default=10, help="least time between checkpoints (default 10)"
    )
    fit.add_argument(
        "--log",
        choices=("live", "later", "auto"),
        default="live",
        help="log to MLflow now (default), or keep the journal for later; auto: now to a server, later to a local one",
    )
    fit.add_argument("--runs", type=folder, default=Path("runs"), help="folder that holds mlflow/ (default runs)")
    calling(commands, {"fit": _fit})


def _fit(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.tracking.store import is_server, tracking_uri
    from sideband.infer import events
    from sideband.train import suite as suites
    from sideband.train.cell import OUTPUTS, fit_cell

    suite = None
    if arguments.suite is not None:
        suite = suites.load(arguments.suite)
        for name in OUTPUTS:
            events.check_output(arguments.out / name, [arguments.suite])
    uri = tracking_uri(arguments.runs)
    fit_cell(
        arguments.method,
        arguments.task,
        arguments.out,
        suite.settings(arguments.method) if suite else {},
        suite.classifier_of(arguments.method) if suite else {},
        _needs(arguments.needs),
        suite.folds if suite else 0,
        arguments.device or (suite.device if suite else "cpu"),
        arguments.threads,
        arguments.checkpoints,
        arguments.checkpoint_seconds,
        suite.name if suite else "own",
        uri if arguments.log == "live" or (arguments.log == "auto" and is_server(uri)) else None,
        arguments.base,
    )
    return 0


def _needs(given: Sequence[str]) -> dict[str, Path]:
    """The files of shared fits by name; raises `BadInput` where one is not NAME=MODEL.PT or a name comes twice."""
    needs: dict[str, Path] = {}
    for each in given:
        name, separator, path = each.partition("=")
        if not separator:
            raise BadInput(f"--needs {each}: give NAME=MODEL.PT, as in --needs sideband=runs/…/model.pt")
        if name in needs:
            raise BadInput(f"--needs {each}: '{name}' is given twice; give one of them")
        needs[name] = Path(path)
    return needs


def _check(arguments: argparse.Namespace) -> int:
    from sideband.train import methods
    from sideband.train import suite as suites
    from sideband.train.classifiers.settings import ClassifierSettings
    from sideband.train.run import open_device
    from sideband.train.settings import settings_from

    suite = suites.load(arguments.suite)
    for section, name in suite.fits():
        methods.settings(name, suite.settings(name), f"{suite.name}: {section}.{name}")
    settings_from(ClassifierSettings, suite.classifier, f"{suite.name}: classifier")
    for label, given in suite.classifiers.items():
        settings_from(ClassifierSettings, given, f"{suite.name}: classifiers.{label}")
    open_device(suite.device)
    return 0


if __name__ == "__main__":
    guarded(main)

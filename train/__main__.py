"""python -m train fit|check: fit background models and log them to MLflow."""

import argparse
from pathlib import Path

from sideband.infer.arguments import Parser, folder, whole
from sideband.infer.errors import BadInput, guarded


def main() -> int:
    """Parse the command line and run one command."""
    parser = Parser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    fit = commands.add_parser("fit", help="fit one method on one task")
    fit.add_argument("method")
    fit.add_argument("--task", type=Path, required=True, help="task.h5")
    fit.add_argument("--out", type=folder, required=True, help="folder for model.pt and fit.json")
    fit.add_argument("--suite", help="suite whose settings to use (default: the papers' own)")
    fit.add_argument("--needs", nargs="*", default=[], metavar="NAME=MODEL.PT", help="shared fits the method stands on")
    fit.add_argument("--device", default=None, help="cpu or cuda, no fallback (default: the suite's, else cpu)")
    fit.add_argument("--threads", type=whole(1, 1024), default=1, help="CPU threads (default 1)")
    fit.add_argument("--checkpoints", type=folder, help="folder for unfinished work alone (default: OUT/checkpoints)")
    fit.add_argument("--checkpoint-seconds", type=whole(0, 86_400), default=10, help="least time between checkpoints")
    fit.add_argument(
        "--log",
        choices=("live", "later", "auto"),
        default="live",
        help="log to MLflow now, or keep the journal for later; auto: now to a server, later to a local store",
    )

    check = commands.add_parser("check", help="check a suite's settings of every method")
    check.add_argument("suite")

    fit.add_argument("--runs", type=folder, default=Path("runs"), help="folder that holds mlflow/ (default runs)")

    arguments = parser.parse_args()
    return {"fit": _fit, "check": _check}[arguments.command](arguments)


def _fit(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.tracking.store import is_server, tracking_uri
    from sideband.infer import events
    from sideband.train.cell import OUTPUTS, fit_cell

    suite = None
    if arguments.suite is not None:
        suite = suites.load(arguments.suite)
        for name in OUTPUTS:
            events.check_output(arguments.out / name, [arguments.suite])
    uri = tracking_uri(arguments.runs)
    needs: dict[str, Path] = {}
    for given in arguments.needs:
        name, separator, path = given.partition("=")
        if not separator:
            raise BadInput(f"--needs {given}: give NAME=MODEL.PT, as in --needs sideband=runs/…/model.pt")
        if name in needs:
            raise BadInput(f"--needs {given}: '{name}' is given twice; give one of them")
        needs[name] = Path(path)
    fit_cell(
        arguments.method,
        arguments.task,
        arguments.out,
        suite.settings(arguments.method) if suite else {},
        suite["classifier"] if suite else {},
        needs,
        suite.folds if suite else 0,
        arguments.device or (suite["device"] if suite else "cpu"),
        arguments.threads,
        arguments.checkpoints,
        arguments.checkpoint_seconds,
        suite.name if suite else "own",
        uri if arguments.log == "live" or (arguments.log == "auto" and is_server(uri)) else None,
    )
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.grid import suite as suites
    from sideband.train import methods
    from sideband.train.classifiers.step import ClassifierSettings
    from sideband.train.run import open_device
    from sideband.train.settings import settings_from

    suite = suites.load(arguments.suite)
    for section, names in (("shared", {*suite.shared(), *suite["shared"]}), ("methods", suite["methods"])):
        for name in names:
            methods.settings(name, suite.settings(name), f"{suite.name}: {section}.{name}")
    settings_from(ClassifierSettings, suite["classifier"], f"{suite.name}: classifier")
    open_device(suite["device"])
    return 0


if __name__ == "__main__":
    guarded(main)

"""Commands that run suites, and show and keep what came of them. Heavy imports wait until one needs them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sideband.infer.errors import BadInput


def run(arguments: argparse.Namespace) -> int:
    """Run a suite, or what is missing of it, and print its results."""
    from sideband.benchmarks.grid import profile
    from sideband.benchmarks.grid import run as grid
    from sideband.benchmarks.grid.piece import Piece

    given = (arguments.stage, arguments.cores, arguments.device, arguments.events, arguments.fresh)
    piece = Piece(arguments.seeds, arguments.methods)
    cluster = profile.folder(arguments.profile) if arguments.profile else None
    suite, good = grid.run(arguments.suite, arguments.runs, *given, piece, cluster)
    if good and arguments.stage in (None, "benchmark"):
        _print_summary(arguments.runs / suite.name, arguments.methods)
    return 0 if good else 1


def produce(arguments: argparse.Namespace) -> int:
    """Make a template in parts, and join them."""
    from sideband.benchmarks.grid import produce as parts
    from sideband.benchmarks.grid import profile

    options = ["--provider", arguments.provider, "--batch-blocks", str(arguments.batch_blocks)]
    options += [] if arguments.seed is None else ["--seed", str(arguments.seed)]
    cluster = profile.folder(arguments.profile) if arguments.profile else None
    wanted = (arguments.model, arguments.task, arguments.out, arguments.count, arguments.part_events)
    number = parts.produce(*wanted, options, arguments.cores, cluster)
    if number is not None:
        print(f"{arguments.out}: {arguments.count:,} events in {number:,} part{'s' * (number > 1)}")
    return 1 if number is None else 0


def merge(arguments: argparse.Namespace) -> int:
    """Put pieces of a suite together, and write the report of what is finished."""
    from sideband.benchmarks.grid import merge as pieces
    from sideband.benchmarks.report import page

    suite = pieces.merge(arguments.pieces, arguments.into)
    print(page.write(suite, arguments.into))
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write the report of what is finished."""
    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.report import page

    kept = arguments.folder / "suite.json"
    if not kept.is_file():
        raise BadInput(f"{kept}: no such file; give the folder of a suite that has run, as in runs/quick")
    print(page.write(suites.load(kept), arguments.folder))
    return 0


def spent(arguments: argparse.Namespace) -> int:
    """Print where the time of a run went."""
    from rich.console import Console
    from rich.table import Table

    from sideband.benchmarks.grid import spent as jobs

    for title, (head, *rows) in jobs.tables(jobs.read(arguments.folder)):
        table = Table(head[0], *(f"[right]{name}" for name in head[1:]), title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    return 0


def scores(arguments: argparse.Namespace) -> int:
    """Write cross-fitted scores of the events of a search."""
    from sideband.benchmarks.report import scores as files_of

    place = (arguments.window, arguments.injection, arguments.seed)
    number, files = files_of.write(arguments.folder, arguments.method, arguments.out, place, arguments.columns)
    print(f"{arguments.out}: {number:,} events")
    if len(files) > 1:
        print(*(f"file {index}: {path}" for index, path in enumerate(files)), sep="\n")
    return 0


def migrate(arguments: argparse.Namespace) -> int:
    """Make MLflow's tables."""
    from sideband.benchmarks.tracking import store

    store.migrate(store.tracking_uri(arguments.runs))
    return 0


def record(arguments: argparse.Namespace) -> int:
    """Bring MLflow up to date with every finished cell of a suite."""
    from sideband.benchmarks.report import ledger

    ledger.record(arguments.folder, arguments.runs)
    return 0


def _print_summary(folder: Path, asked: Sequence[str] = ()) -> None:
    """The results table on the terminal, and where the report is; of the methods that were asked for, or of all."""
    from rich.console import Console
    from rich.table import Table

    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.report import style
    from sideband.benchmarks.report.results import gather

    results = gather(suites.load(folder / "suite.json"), folder)
    for found in results.suite.problem.summary(results.without(results.unfinished)):
        table = Table(title=found.caption, title_justify="left")
        for name in found.head:
            table.add_column(name)
        for row in found.rows:
            table.add_row(*row)
        Console().print(table)
    left = [name for name in results.unfinished if not asked or name in asked]
    if left:
        print(f"no cell finished: {'; '.join(map(style.title, left))}")
    print(f"report: {(folder / 'report' / 'index.html').resolve()}")


def growth(arguments: argparse.Namespace) -> int:
    """Measure seconds and memory of a run against its size."""
    from sideband.benchmarks.growth import figure, points
    from sideband.benchmarks.growth import run as measured
    from sideband.benchmarks.report import style

    folder = arguments.runs / "growth"
    rows = measured.run(points(tuple(arguments.axes)), folder, arguments.cores)
    if rows is None:
        return 1
    style.save(figure.draw(rows), folder / "growth")
    for line in figure.table(rows):
        print(f"| {' | '.join(line)} |")
    print(folder / measured.FILE)
    return 0


def peers(arguments: argparse.Namespace) -> int:
    """Time what a user would pick in Sideband's place, beside Sideband's own methods."""
    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.peers import chosen, run, table
    from sideband.infer.provenance import cores

    folder = arguments.runs / "peers"
    race = run.Race(suites.load(arguments.suite), folder, arguments.cores or cores(), arguments.seconds)
    table.show(run.run(race, chosen(arguments.rows)))
    print(*(folder / name for name in ("peers.csv", "peers.md")), sep="\n")
    return 0

"""What each command of `python -m benchmarks` does. Heavy imports wait until a command needs them."""

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sideband.infer import events
from sideband.infer.called import called
from sideband.infer.errors import BadInput

if TYPE_CHECKING:
    from sideband.benchmarks.events.asked import Asked


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


def download(arguments: argparse.Namespace) -> int:
    """Fetch the LHC Olympics R&D feature files."""
    from sideband.benchmarks.events import download

    download.download(arguments.to, arguments.parts, arguments.site or download.ZENODO)
    return 0


def generate(arguments: argparse.Namespace) -> int:
    """Make events with Pythia, with figures."""
    from sideband.benchmarks.events import embed
    from sideband.benchmarks.report import describe as files_of
    from sideband.benchmarks.simulate.dijets import Wanted, generate

    many = arguments.kind in ("sample", "embedded")
    options = {
        "out": Path("data") / (arguments.kind if many else f"{arguments.kind}.h5"),
        "events": embed.GENERATED["qcd"] if arguments.kind == "embedded" else 100_000,
        **{key: value for key, value in vars(arguments).items() if key not in ("command", "call", "cores")},
    }
    wanted = Wanted(**options)
    figures = wanted.out / "figures" if many else _figures_of(wanted.out)
    files = generate(wanted, arguments.cores)
    files_of.describe(files, figures)
    print(*files, sep="\n")
    if many:
        print(called("benchmarks", f"run quick --events {wanted.out}"))
    return 0


def showers(arguments: argparse.Namespace) -> int:
    """Simulate calorimeter showers, with figures."""
    from sideband.benchmarks.events import showers as readers
    from sideband.benchmarks.problems.showers import figures
    from sideband.benchmarks.report import style
    from sideband.benchmarks.simulate.showers import simulation
    from sideband.benchmarks.simulate.showers.decays import Decay, decays

    drawn = _figures_of(arguments.out)
    if arguments.mass is None and (arguments.depth is not None or arguments.lifetime is not None):
        raise BadInput(
            "--depth, --lifetime: of chi, whose --mass [GeV] is missing; without them, photons are simulated"
        )
    if arguments.mass is None:
        name, made = "photons", simulation.photons(arguments.events, arguments.seed)
    else:
        decay = Decay(arguments.mass, arguments.depth, arguments.lifetime)
        name, made = decay.name, decays(decay, arguments.events, arguments.seed)
    seen = made[made.voxels.any(axis=1)]
    if not len(seen):
        raise BadInput(f"none of {len(made)} showers of {name} left any energy: more --events, or an earlier decay")
    readers.write(arguments.out, seen)
    for stem, figure in figures.describe({name: seen}).items():
        style.save(figure, drawn / stem)
    left = f"; {len(made) - len(seen)} left no energy" if len(seen) < len(made) else ""
    print(f"{arguments.out}: {len(seen)} showers of {name}{left}; figures in {drawn}")
    return 0


def _figures_of(out: Path) -> Path:
    """The folder for the figures of a file: its name without suffix; raises `BadInput` if either cannot be written."""
    events.check_output(out)
    figures = out.with_suffix("")
    if figures == out or (figures.exists() and not figures.is_dir()):
        raise BadInput(f"{out}: the folder of its figures would be {figures}, which is a file; choose another name")
    return figures


def describe(arguments: argparse.Namespace) -> int:
    """Print and draw what files of events hold."""
    from sideband.benchmarks.report import describe as files_of

    first = arguments.files[0]
    out = arguments.out or (first if first.is_dir() else first.parent) / "figures"
    files_of.describe(arguments.files, out, _asked(arguments))
    return 0


def _asked(arguments: argparse.Namespace) -> "Asked":
    from sideband.benchmarks.events.asked import Asked
    from sideband.benchmarks.events.formats import Place

    place = Place(arguments.tree, arguments.group)
    given = (arguments.mass, arguments.features, arguments.units, arguments.label, arguments.cut)
    return Asked(*given, place)


def validate(arguments: argparse.Namespace) -> int:
    """Print why a run would refuse files; of those in Sideband's own layout, every rule that they break."""
    from sideband.benchmarks.events import layout

    asked = _asked(arguments)
    suites = [path for path in arguments.files if path.suffix in (".yaml", ".yml")]
    files = [path for path in arguments.files if path not in suites]
    own = files if asked.of_own(files) else []
    for path in (*suites, *own):
        number = _number(path, asked)
        print(f"{path}: valid{f'; {number:,} events' if number else ''}")
    broken = {path: layout.violations(path) for path in files if path not in own}
    for path, rules in broken.items():
        print(f"{path}: {'valid' if not rules else ''}".rstrip(), *rules, sep="\n  ")
    number = sum(map(len, broken.values()))
    if number:
        where = ", ".join(str(path) for path, rules in broken.items() if rules)
        raise BadInput(f"{number} rules of the events layout broken in {where}")
    return 0


def _number(path: Path, asked: "Asked") -> int:
    """The events of a file, or those that a suite reads from files; raises `BadInput` where a run would."""
    from sideband.benchmarks.grid import run as grid
    from sideband.benchmarks.grid import suite as suites

    if path.suffix not in (".yaml", ".yml"):
        return len(asked.read(path).data)
    suite = suites.load(path)
    if importlib.util.find_spec("torch"):  # the image of this stage has no training
        grid.check_settings(suite)
    return suite.problem.check_data(suite)


def task(arguments: argparse.Namespace) -> int:
    """Draw one task of a suite."""
    from sideband.benchmarks.events import sources
    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.grid.piece import named

    suite = suites.load(arguments.suite)
    kept = suites.path_of(arguments.suite)
    if "dataset" in suite.differing(kept)[1]:  # a run keeps the digest of the events that it began with
        raise BadInput(f"{kept}: the files of its events have changed since the run began; run the suite again")
    window, injection, seed = named(suite, arguments.window, arguments.injection, arguments.seed)
    inputs = sources.files(suite.at(window)["dataset"], Path()).values()
    events.check_output(arguments.out, [kept, *inputs])
    suite.draw(window, injection, seed, arguments.out)
    return 0


def control(arguments: argparse.Namespace) -> int:
    """Write floor and positive control of the closure test on a task."""
    from sideband.benchmarks import problems

    events.check_output(arguments.out, [arguments.task])
    problem = problems.of_task(arguments.task)
    events.write_json(arguments.out, problem.control(arguments.task, arguments.closure_events))
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Write the numbers of one cell."""
    from sideband.benchmarks import problems

    given = (arguments.scores, arguments.template, arguments.data_scores, arguments.template_scores)
    latents = tuple(arguments.latents or ())
    events.check_output(arguments.out, [arguments.task, *latents, *(path for path in given if path)])
    problem, efficiencies = problems.of_task(arguments.task), tuple(arguments.efficiencies)
    numbers = problem.evaluate(arguments.task, *given, efficiencies, arguments.closure_events, latents)
    events.write_json(arguments.out, numbers)
    return 0


COMMANDS = {
    each.__name__: each
    for each in (
        *(run, merge, report, scores, record, migrate),
        *(download, generate, showers, describe, validate),
        *(task, control, evaluate, peers),
    )
}

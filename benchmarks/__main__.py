"""python -m benchmarks run|report|record|migrate|generate|showers|describe|validate|download|task|control|evaluate."""

import argparse
import math
from pathlib import Path

from sideband.benchmarks.simulate.dijets import KINDS, MOST_CONSTITUENTS
from sideband.benchmarks.simulate.dijets.processes import SIMULATIONS
from sideband.infer import events
from sideband.infer.arguments import LARGEST_SEED, Parser, folder, number, whole
from sideband.infer.errors import BadInput, guarded

PARTS = ("data", "background", "simulation")  # of the LHC Olympics
MOST_CORES = 1024
MOST_EVENTS = 10**8  # of Pythia, which take months
MOST_SHOWERS = 10**6  # in memory, in 2 kB each
CLOSURE_EVENTS = whole(100, 10**7)  # as in a suite
EFFICIENCY = number(0.0, math.nextafter(1.0, 0.0))


def main() -> int:
    """Parse the command line and run one command."""
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run a suite, or what is missing of it")
    run.add_argument("suite", nargs="?", default="quick")
    run.add_argument("--stage", choices=("train", "export", "infer", "benchmark"), help="one stage alone")
    run.add_argument("--cores", type=whole(1, MOST_CORES), help="CPU cores (default: all)")
    run.add_argument("--device", choices=("cpu", "cuda"), help="in place of the suite's own; no fallback")
    run.add_argument("--runs", type=Path, default=Path("runs"), help="folder for results (default runs)")
    run.add_argument("--events", type=Path, help="folder of a generated sample, in place of the embedded events")
    run.add_argument("--fresh", action="store_true", help="take the folder of another suite; what fits this one stays")

    report = commands.add_parser("report", help="write the report of what is finished")
    report.add_argument("folder", type=Path, help="runs/SUITE")

    migrate = commands.add_parser("migrate", help="make MLflow's tables before many processes write to them")
    record = commands.add_parser("record", help="bring MLflow up to date with every finished cell of a suite")
    record.add_argument("folder", type=Path, help="runs/SUITE")
    for command in (migrate, record):
        command.add_argument("--runs", type=folder, default=Path("runs"), help="folder with mlflow/ (default runs)")

    download = commands.add_parser("download", help="fetch the LHC Olympics R&D feature files from Zenodo")
    download.add_argument("--to", type=Path, default=Path("data/lhco"), help="folder (default data/lhco)")
    download.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which of them (default: all)")
    download.add_argument("--from", dest="site", help="another site with Zenodo's interface")

    generate = commands.add_parser(
        "generate",
        help="make events with Pythia; needs pip install '.[generate]'",
        argument_default=argparse.SUPPRESS,  # what is not given, `Wanted` knows
    )
    generate.add_argument("kind", choices=KINDS, help="a whole sample, one file of it, or the embedded set anew")
    generate.add_argument("--events", type=whole(1, MOST_EVENTS), help="events; of a sample, its QCD (default 100,000)")
    generate.add_argument("--out", type=Path, help="file, or folder of a sample (default data/KIND)")
    generate.add_argument("--seed", type=whole(0, LARGEST_SEED), help="equal seeds give equal events (default 1)")
    generate.add_argument(
        "--cores", type=whole(1, MOST_CORES), default=None, help="worker processes (default: all cores)"
    )
    constituents = whole(0, MOST_CONSTITUENTS)
    generate.add_argument("--constituents", type=constituents, help="leading constituents of a jet to keep, up to 128")
    generate.add_argument("--pt-min", type=number(), help="leading jet's transverse momentum [TeV] (1.2)")
    generate.add_argument("--mass", type=number(), help="of the resonance [TeV] (3.5)")
    generate.add_argument("--daughters", type=number(), nargs=2, help="their masses [TeV] (0.5 0.1)")
    generate.add_argument("--width", type=number(), help="of the resonance [TeV] (a hundredth of its mass)")
    generate.add_argument("--prongs", type=int, choices=(2, 3), help="of each signal jet (2)")
    generate.add_argument("--shower", choices=tuple(SIMULATIONS), help="of the simulation (alphas)")

    showers = commands.add_parser("showers", help="simulate calorimeter showers, with figures")
    showers.add_argument("--events", type=whole(1, MOST_SHOWERS), default=10_000, help="showers (default 10,000)")
    showers.add_argument("--mass", type=number(), help="of chi -> gamma gamma [GeV]; single photons without it")
    showers.add_argument("--depth", type=number(-1.0), help="where chi decays [m]; the calorimeter begins at 1.00")
    showers.add_argument("--lifetime", type=number(), help="of chi [ns], in place of a depth")
    showers.add_argument(
        "--seed", type=whole(0, LARGEST_SEED), default=1, help="equal seeds give equal showers (default 1)"
    )
    showers.add_argument("--out", type=Path, default=Path("data/showers.h5"), help="file (default data/showers.h5)")

    describe = commands.add_parser("describe", help="what files of events hold, with figures")
    describe.add_argument("files", type=Path, nargs="+", help="events files, or folders of them")
    describe.add_argument("--out", type=Path, help="folder for figures (default: 'figures' beside the first file)")
    validate = commands.add_parser("validate", help="which rules of the events layout files break")
    validate.add_argument("files", type=Path, nargs="+")
    for command in (describe, validate):
        command.add_argument("--mass", default="m_jj", help="the mass column (default m_jj)")

    task = commands.add_parser("task", help="draw one task of a suite")
    task.add_argument("suite")
    for name in ("window", "injection", "seed"):
        task.add_argument(f"--{name}", help=f"its name in the grid (default: the suite's first {name})")
    task.add_argument("--out", type=Path, required=True)

    control = commands.add_parser("control", help="floor and positive control of the closure test")
    evaluate = commands.add_parser("evaluate", help="SIC, closure and excess of one cell")
    evaluate.add_argument("--scores", type=Path, required=True)
    for name in ("template", "data-scores", "template-scores"):
        evaluate.add_argument(f"--{name}", type=Path)
    evaluate.add_argument("--efficiencies", type=EFFICIENCY, nargs="*", default=[1e-2, 1e-3])
    for command in (control, evaluate):
        command.add_argument("--task", type=Path, required=True)
        command.add_argument("--closure-events", type=CLOSURE_EVENTS)
        command.add_argument("--out", type=Path, required=True)

    arguments = parser.parse_args()
    return COMMANDS[arguments.command](arguments)


def _run(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.grid import run as grid

    given = (arguments.stage, arguments.cores, arguments.device, arguments.events, arguments.fresh)
    suite, good = grid.run(arguments.suite, arguments.runs, *given)
    if good and arguments.stage in (None, "benchmark"):
        _print_summary(arguments.runs / suite.name)
    return 0 if good else 1


def _report(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.report import page

    kept = arguments.folder / "suite.json"
    if not kept.is_file():
        raise BadInput(f"{kept}: no such file; give the folder of a suite that has run, as in runs/quick")
    print(page.write(suites.load(kept), arguments.folder))
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.tracking.store import migrate, tracking_uri

    migrate(tracking_uri(arguments.runs))
    return 0


def _record(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.report.ledger import record

    record(arguments.folder, arguments.runs)
    return 0


def _print_summary(folder: Path) -> None:
    """The results table on the terminal, and where the report is."""
    from rich.console import Console
    from rich.table import Table

    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.problems.showers import tables
    from sideband.benchmarks.report import page
    from sideband.benchmarks.report.results import gather

    results = gather(suites.load(folder / "suite.json"), folder)
    if results.suite.showers:
        shown = [tables.transfer(results)]
    else:
        numbers = page.sic_table if results.suite.labelled else page.closure_table
        shown = [numbers(results, window) for window in results.suite.windows()]
    for found in shown:
        table = Table(title=found.caption, title_justify="left")
        for name in found.head[:5]:
            table.add_column(name)
        for row in found.rows:
            table.add_row(*row[:5])
        Console().print(table)
    print(f"report: {(folder / 'report' / 'index.html').resolve()}")


def _download(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.events import download

    download.download(arguments.to, arguments.parts, arguments.site or download.ZENODO)
    return 0


def _generate(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.events import embed
    from sideband.benchmarks.report import describe
    from sideband.benchmarks.simulate.dijets import Wanted, generate

    many = arguments.kind in ("sample", "embedded")
    options = {
        "out": Path("data") / (arguments.kind if many else f"{arguments.kind}.h5"),
        "events": embed.GENERATED["qcd"] if arguments.kind == "embedded" else 100_000,
        **{key: value for key, value in vars(arguments).items() if key not in ("command", "cores")},
    }
    wanted = Wanted(**options)
    figures = wanted.out / "figures" if many else _figures_of(wanted.out)
    files = generate(wanted, arguments.cores)
    describe.describe(files, figures)
    print(*files, sep="\n")
    if many:
        print(f"python -m benchmarks run quick --events {wanted.out}")
    return 0


def _showers(arguments: argparse.Namespace) -> int:
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
    """The folder for the figures of a file that is to be written: its name without the ending; both are checked."""
    events.check_output(out)
    figures = out.with_suffix("")
    if figures == out or (figures.exists() and not figures.is_dir()):
        raise BadInput(f"{out}: the folder of its figures would be {figures}, which is a file; choose another name")
    return figures


def _describe(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.report import describe

    first = arguments.files[0]
    describe.describe(
        arguments.files, arguments.out or (first if first.is_dir() else first.parent) / "figures", arguments.mass
    )
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.events import layout

    broken = {path: layout.violations(path, arguments.mass) for path in arguments.files}
    for path, rules in broken.items():
        print(f"{path}: {'valid' if not rules else ''}".rstrip(), *rules, sep="\n  ")
    number = sum(map(len, broken.values()))
    if number:
        where = ", ".join(str(path) for path, rules in broken.items() if rules)
        raise BadInput(f"{number} rules of the events layout broken in {where}")
    return 0


def _task(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.events import sources
    from sideband.benchmarks.grid import suite as suites

    suite = suites.load(arguments.suite)
    inputs = sources.files(suite["dataset"], Path()).values()
    events.check_output(arguments.out, [suites.path_of(arguments.suite), *inputs])
    window = arguments.window or next(iter(suite.windows()))
    injection = arguments.injection or next(iter(suite.injections()))
    seed = arguments.seed or next(iter(suite.seeds(injection)))
    suite.draw(window, injection, seed, arguments.out)
    return 0


def _control(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.problems.search.evaluate import control

    events.check_output(arguments.out, [arguments.task])
    events.write_json(arguments.out, control(arguments.task, arguments.closure_events))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from sideband.benchmarks.problems.search.evaluate import evaluate

    given = (arguments.scores, arguments.template, arguments.data_scores, arguments.template_scores)
    events.check_output(arguments.out, [arguments.task, *(path for path in given if path)])
    record = evaluate(arguments.task, *given, tuple(arguments.efficiencies), arguments.closure_events)
    events.write_json(arguments.out, record)
    return 0


COMMANDS = {
    "run": _run,
    "report": _report,
    "record": _record,
    "migrate": _migrate,
    "download": _download,
    "generate": _generate,
    "showers": _showers,
    "describe": _describe,
    "validate": _validate,
    "task": _task,
    "control": _control,
    "evaluate": _evaluate,
}

if __name__ == "__main__":
    guarded(main)

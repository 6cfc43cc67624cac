"""python -m benchmarks COMMAND: run suites, report and keep their results, make and check events; and single steps."""

import argparse
import math
from pathlib import Path

from sideband.benchmarks.commands import COMMANDS
from sideband.benchmarks.grid.steps import STAGES
from sideband.benchmarks.growth import AXES
from sideband.benchmarks.peers import OWN, PEERS
from sideband.benchmarks.simulate.dijets import KINDS, MOST_CONSTITUENTS
from sideband.benchmarks.simulate.dijets.processes import SIMULATIONS
from sideband.infer.arguments import LARGEST_SEED, Commands, Parser, calling, execute, folder, number, whole
from sideband.infer.errors import guarded

PARTS = ("data", "background", "simulation")  # of the LHC Olympics
MOST_CORES = 1024
MOST_EVENTS = 10**8  # of Pythia, which would take months
MOST_SHOWERS = 10**6  # in memory, in 2 kB each
CLOSURE_EVENTS = whole(100, 10**7)  # as in a suite
EFFICIENCY = number(0.0, math.nextafter(1.0, 0.0))
# What the commands import; the grid starts their steps in processes that have it.
HEAVY = ("sklearn.ensemble", "scipy.stats")


def main() -> int:
    """Parse the command line and run one command."""
    parser = Parser(prog=f"python -m {__package__}", description=__doc__)
    add_commands(parser)
    return execute(parser)


def add_commands(parser: Parser) -> Commands:
    """Add the commands to a parser."""
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run a suite, or what is missing of it")
    run.add_argument("suite", nargs="?", default="quick", help="a suite by name, or a suite file (default quick)")
    run.add_argument("--stage", choices=STAGES, help="one stage alone (default: all, one after the other)")
    run.add_argument("--device", choices=("cpu", "cuda"), help="device, in place of the suite's own; no fallback")
    run.add_argument("--runs", type=Path, default=Path("runs"), help="folder for results (default runs)")
    run.add_argument("--events", type=Path, help="folder of a generated sample, in place of the embedded events")
    run.add_argument("--fresh", action="store_true", help="take over the folder of another suite; cells of both stay")

    run.add_argument("--seeds", type=whole(0, LARGEST_SEED), nargs="+", default=(), help="run these seeds alone")
    run.add_argument(
        "--methods", nargs="+", default=(), help="run these methods alone, and the fits that they stand on"
    )

    produce = commands.add_parser("produce", help="mass-produce one template in parts, on all cores or on a cluster")
    produce.add_argument("model", type=Path, help="an exported template.onnx")
    produce.add_argument("--task", type=Path, required=True, help="task.h5 with target masses and sources")
    produce.add_argument("--count", type=whole(1, 10**12), required=True, help="events")
    produce.add_argument(
        "--part-events", type=whole(1, 10**12), default=5_000_000, help="events of a part, which is a job (5,000,000)"
    )
    produce.add_argument(
        "--out", type=Path, required=True, help="HDF5 file to write; its parts go to OUT.parts beside it"
    )
    produce.add_argument("--seed", type=whole(0, LARGEST_SEED), help="draw seed (default: the training template's)")
    produce.add_argument(
        "--provider", default="cpu", choices=("cpu", "cuda"), help="where to run (default cpu); no fallback"
    )
    produce.add_argument(
        "--batch-blocks", type=whole(1, 1000), default=1, help="blocks of 1,000 events a call (default 1)"
    )
    for command in (run, produce):
        command.add_argument("--cores", type=whole(1, MOST_CORES), help="CPU cores (default: all)")
        command.add_argument(
            "--profile",
            help="hand the steps to a cluster: slurm, htcondor, kubernetes, or a folder with a Snakemake profile",
        )

    merge = commands.add_parser("merge", help="put pieces of one suite, run in several folders, into one folder")
    merge.add_argument("pieces", type=Path, nargs="+", help="folders of the suite, as in other/field")
    merge.add_argument("--into", type=Path, required=True, help="runs/SUITE; what it has already stays")

    report = commands.add_parser("report", help="write the report of what is finished")
    report.add_argument("folder", type=Path, help="runs/SUITE")

    spent = commands.add_parser("spent", help="where the time of a run went, by step")
    spent.add_argument("folder", type=Path, help="runs/SUITE")

    scores = commands.add_parser("scores", help="cross-fitted scores of your own events, in the order of their files")
    scores.add_argument("folder", type=Path, help="runs/SUITE")
    scores.add_argument("--method", required=True, help="a method of the suite that makes a template")
    for name in ("window", "injection", "seed"):
        scores.add_argument(f"--{name}", help=f"its name in the grid (default: the suite's first {name})")
    scores.add_argument(
        "--columns", nargs="+", default=(), help="further columns of the events: NAME, or NAME=EXPRESSION"
    )
    scores.add_argument("--out", type=Path, required=True, help="file to write: .parquet, .root, .h5 or .csv")

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
        argument_default=argparse.SUPPRESS,  # `Wanted` has the defaults
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
    generate.add_argument(
        "--pt-min", type=number(), help="least transverse momentum of the leading jet [TeV] (default 1.2)"
    )
    generate.add_argument("--mass", type=number(), help="of the resonance [TeV] (default 3.5)")
    generate.add_argument(
        "--daughters", type=number(), nargs=2, help="masses of its two daughters [TeV] (default 0.5 0.1)"
    )
    generate.add_argument("--width", type=number(), help="of the resonance [TeV] (default: a hundredth of its mass)")
    generate.add_argument("--prongs", type=int, choices=(2, 3), help="of each signal jet (default 2)")
    generate.add_argument("--shower", choices=tuple(SIMULATIONS), help="of the simulation (default alphas)")

    showers = commands.add_parser("showers", help="simulate calorimeter showers, with figures")
    showers.add_argument("--events", type=whole(1, MOST_SHOWERS), default=10_000, help="showers (default 10,000)")
    showers.add_argument("--mass", type=number(), help="of chi -> gamma gamma [GeV]; single photons without it")
    showers.add_argument("--depth", type=number(-1.0), help="where chi decays [m]; the calorimeter begins at 1.00")
    showers.add_argument("--lifetime", type=number(), help="of chi [ns], in place of a depth")
    showers.add_argument(
        "--seed", type=whole(0, LARGEST_SEED), default=1, help="equal seeds give equal showers (default 1)"
    )
    showers.add_argument("--out", type=Path, default=Path("data/showers.h5"), help="file (default data/showers.h5)")

    describe = commands.add_parser("describe", help="print and draw what files of events hold")
    describe.add_argument("files", type=Path, nargs="+", help="events files, or folders of them")
    describe.add_argument("--out", type=Path, help="folder for figures (default: 'figures' beside the first file)")
    validate = commands.add_parser(
        "validate", help="say whether a run would accept files of events, or a suite with its events"
    )
    validate.add_argument("files", type=Path, nargs="+", help="events files, or suites (.yaml)")
    for command in (describe, validate):
        named = "NAME or NAME=EXPRESSION"
        command.add_argument("--mass", default="", help=f"the mass of your own events: {named}")
        command.add_argument(
            "--features",
            nargs="+",
            default=(),
            help=f"their features: {named} (default: every column of one number an event)",
        )
        command.add_argument("--units", nargs="+", default=(), metavar="COLUMN=UNIT", help="their units, as m_vis=GeV")
        command.add_argument(
            "--label", default="", help="column: 1 for signal, 0 for background (default: label, if there)"
        )
        command.add_argument("--cut", default="", help="expression: the events to keep, as 'met > 50'")
        command.add_argument("--tree", default="", help="TTree or RNTuple, in ROOT files with more than one")
        command.add_argument("--group", default="", help="group, dataset of records, or table, in HDF5 files")

    peers = commands.add_parser(
        "peers", help="time other libraries' generators beside Sideband's; needs pip install '.[peers]'"
    )
    peers.add_argument("suite", nargs="?", default="quick", help="whose first task and settings to take (quick)")
    names = (*PEERS, *OWN)
    peers.add_argument("--rows", choices=names, nargs="+", default=(), metavar="ROW", help=", ".join(names))
    peers.add_argument("--seconds", type=number(0, 86_400), default=600.0, help="of training a row at most (600)")
    peers.add_argument("--cores", type=whole(1, MOST_CORES), help="CPU cores (default: all)")
    peers.add_argument("--runs", type=folder, default=Path("runs"), help="folder for peers/ (default runs)")

    growth = commands.add_parser("growth", help="measure seconds and memory of a run against its size")
    growth.add_argument(
        "--axes",
        choices=tuple(AXES),
        nargs="+",
        default=tuple(AXES),
        help=f"what grows (all): {', '.join(AXES)}",
    )
    growth.add_argument("--cores", type=whole(1, MOST_CORES), help="CPU cores (default: all); a step has one")
    growth.add_argument("--runs", type=folder, default=Path("runs"), help="folder for growth/ (default runs)")

    task = commands.add_parser("task", help="draw one task of a suite")
    task.add_argument("suite", help="a suite by name, or a suite file")
    for name in ("window", "injection", "seed"):
        task.add_argument(f"--{name}", help=f"its name in the grid (default: the suite's first {name})")
    task.add_argument("--out", type=Path, required=True, help="HDF5 file to write")

    control = commands.add_parser("control", help="floor and positive control of a task's closure test")
    evaluate = commands.add_parser("evaluate", help="SIC, closure and excess of one cell")
    evaluate.add_argument("--scores", type=Path, required=True, help="of the test events; without labels, of the data")
    evaluate.add_argument("--template", type=Path, help="the template's events, if the method makes any")
    for name in ("data", "template"):
        evaluate.add_argument(f"--{name}-scores", type=Path, help=f"cross-fitted scores of the {name}, for an excess")
    evaluate.add_argument(
        "--latents", type=Path, nargs=2, metavar="FILE", help="of the test events, and of the template, by an encoder"
    )
    evaluate.add_argument(
        "--efficiencies",
        type=EFFICIENCY,
        nargs="*",
        default=[1e-2, 1e-3],
        help="of the template, at the cuts of an excess (default 0.01 0.001)",
    )
    for command in (control, evaluate):
        command.add_argument("--task", type=Path, required=True, help="task.h5")
        command.add_argument("--closure-events", type=CLOSURE_EVENTS, help="at most, on each side (default: all)")
        command.add_argument("--out", type=Path, required=True, help="JSON file to write")

    return calling(commands, COMMANDS)


if __name__ == "__main__":
    guarded(main)

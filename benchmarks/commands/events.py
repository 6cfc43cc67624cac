"""Commands that make, draw and check events. Heavy imports wait until one needs them."""

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from sideband.infer import events
from sideband.infer.called import called
from sideband.infer.errors import BadInput

if TYPE_CHECKING:
    from sideband.benchmarks.events.asked import Asked


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

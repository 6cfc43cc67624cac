"""The kinds of cases, how often each is drawn, and what their commands import."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.fuzz.kinds import commands, events, exports, fits, outputs, records, settings, suites, tasks
from tests.fuzz.material import Random
from tests.fuzz.verdict import Case

LIGHT = (
    *(f"sideband.{package}.__main__" for package in ("infer", "benchmarks")),
    *(f"sideband.infer.{name}" for name in ("model", "purpose", "score", "template", "throughput")),
    *(f"sideband.benchmarks.events.{name}" for name in ("layout", "task", "own", "formats.hdf5", "lhco")),
    "sideband.benchmarks.grid.suite",
)
HEAVY = (
    *(f"sideband.{package}.__main__" for package in ("train", "export")),
    *(
        f"sideband.train.{name}"
        for name in (
            "cell",
            "classifiers.step",
            "methods.search.cathode",
            "methods.search.iad",
            "methods.shared.sideband",
        )
    ),
    *(
        f"sideband.benchmarks.{name}"
        for name in ("report.describe", "problems.search.evaluate", "grid.run", "report.page", "report.ledger")
    ),
    *("sideband.export.cell", "sideband.export.compare", "sklearn.ensemble", "torch.optim.adamw"),
)


@dataclass(frozen=True)
class Kind:
    """One kind of cases.

    Args:
        name: its name in tables.
        make: writes the files of a case to the current folder, from the base material, and returns the case.
        share: how often it is drawn, relative to the others.
        heavy: whether its commands import torch, scikit-learn or matplotlib.
    """

    name: str
    make: Callable[[Random, Path], Case]
    share: float
    heavy: bool = False


KINDS: tuple[Kind, ...] = (
    Kind("events", events.light, 20),
    Kind("suites", suites.light, 20),
    Kind("exports", exports.light, 22),
    Kind("tasks", tasks.light, 12),
    Kind("command lines", commands.light, 12),
    Kind("outputs", outputs.light, 8),
)
KINDS += tuple(
    Kind(name, make, share, heavy=True)
    for name, make, share in (
        ("events, described", events.heavy, 0.6),
        ("settings", settings.heavy, 5),
        ("tasks, used", tasks.heavy, 2.5),
        ("fits", fits.heavy, 6),
        ("command lines, heavy", commands.heavy, 3),
        ("outputs, heavy", outputs.heavy, 3),
        ("records", records.heavy, 0.5),
    )
)


def of(seed: int, number: int) -> Kind:
    """The kind of a case."""
    shares = np.array([kind.share for kind in KINDS])
    return KINDS[int(np.random.default_rng([seed, number, 1]).choice(len(KINDS), p=shares / shares.sum()))]

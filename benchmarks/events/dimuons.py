"""Muon pairs in closed form: events unlike dijets, for tests of methods on features of other shapes.

No detector and no physics beyond their shapes: a mass spectrum that falls as m⁻³, and features with edges, long tails,
a singularity and whole numbers, each of which changes smoothly with the mass. Signal is a narrow peak of prompt,
isolated pairs. Every number is an inverse distribution function of uniform draws, or a normal draw.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.tables import Dataset, Events, join
from sideband.infer.draws import generator
from sideband.infer.errors import BadInput

VERSION = 1  # in the data's digest: raise it when any number below changes

MASS = "m_mumu"
LOW, HIGH = 20.0, 60.0  # GeV
PEAK, WIDTH = 34.0, 0.5  # GeV
UNITS = {MASS: "GeV", "pt": "GeV", "isolation": "", "cos_theta": "", "vertex_chi2": "", "impact": "mm", "tracks": ""}
FEATURES = tuple(UNITS)[1:]
DEFAULT = FEATURES[:4]  # without the long tail and the whole numbers
SIGNAL, FURTHER = 40_000, 300_000  # events of the signal, and of further background for references and tests

Array = NDArray[np.float64]


def dimuons(config: Mapping[str, Any], sha256: str) -> Dataset:
    """Background and signal, further background, and a simulation whose isolation and momenta are somewhat off.

    Args:
        config: `events`, the background events of the data, and the features, by default `DEFAULT`.
        sha256: the data set's digest.

    Raises:
        BadInput: an unknown feature.
    """
    features, number = tuple(config.get("features", DEFAULT)), config["events"]
    for name in features:
        if name not in FEATURES:
            raise BadInput(f"dataset.features: muon pairs have no '{name}', only {', '.join(FEATURES)}")
    signal = _signal(features, SIGNAL)
    return Dataset(
        MASS,
        features,
        {name: UNITS[name] for name in (MASS, *features)},
        join(_background("data", features, number), signal),
        _background("further", features, FURTHER),
        _background("simulation", features, number, off=1.0),
        f"muon pairs in closed form, {number:,} of background",
        sha256,
    )


def _background(part: str, features: tuple[str, ...], number: int, off: float = 0.0) -> Events:
    random = generator(0, f"dimuons, {part}", 0)
    # The integral of m⁻³ between the edges, inverted.
    mass = (LOW**-2 - random.random(number) * (LOW**-2 - HIGH**-2)) ** -0.5
    x = np.log(mass / LOW) / np.log(HIGH / LOW)  # from 0 to 1
    pt = (0.25 + 0.02 * off) * mass * (_exponential(random, number) + _exponential(random, number))
    table = {
        "pt": pt,
        "isolation": _exponential(random, number) * (0.4 - 0.15 * x) * (1 + 0.15 * off) / (0.5 + pt / mass),
        # 1 + cos²θ: its integral is a cubic, which a hyperbolic sine of a third of the angle solves.
        "cos_theta": 2 * np.sinh(np.arcsinh(4 * random.random(number) - 2) / 3),
        "vertex_chi2": random.standard_normal(number) ** 2,
        "impact": 0.02 * np.exp((0.9 - 0.2 * x) * random.standard_normal(number)),
        "tracks": np.floor(_exponential(random, number) * (5 + 3 * x)),
    }
    return _events(mass, table, features, 0)


def _signal(features: tuple[str, ...], number: int) -> Events:
    random = generator(0, "dimuons, signal", 0)
    mass = PEAK + WIDTH * random.standard_normal(number)
    pt = 0.45 * mass * (_exponential(random, number) + _exponential(random, number))
    table = {
        "pt": pt,
        "isolation": _exponential(random, number) * 0.07 / (0.5 + pt / mass),
        "cos_theta": 2 * random.random(number) - 1,
        "vertex_chi2": 0.5 * random.standard_normal(number) ** 2,
        "impact": 0.01 * np.exp(0.5 * random.standard_normal(number)),
        "tracks": np.floor(_exponential(random, number) * 3),
    }
    return _events(mass, table, features, 1)


def _exponential(random: np.random.Generator, number: int) -> Array:
    return -np.log1p(-random.random(number))


def _events(mass: Array, table: dict[str, Array], features: tuple[str, ...], label: int) -> Events:
    columns = np.stack([table[name] for name in features], axis=1)
    return Events(mass.astype(np.float32), columns.astype(np.float32), np.full(len(mass), label, np.int8))

"""A task of showers: photons to fit, and χ → γγ decays to tell from further photons.

There is no mass window and no injection: `data/` holds photons alone. `test/` holds further photons and every sample of
decays, their number in `sample` (0 for photons), and what each shower `deposited` in MeV; `reference/` further decays
for the supervised classifier, with the `mass` of χ in GeV. The three share no showers.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events import showers as readers
from sideband.benchmarks.events import task as tasks
from sideband.benchmarks.problems.showers import PLACE
from sideband.benchmarks.simulate.showers.decays import DEPTHS, LIFETIMES, MASSES, Decay, decays
from sideband.benchmarks.simulate.showers.geometry import UNITS
from sideband.benchmarks.simulate.showers.simulation import Showers, photons
from sideband.infer import events
from sideband.infer.draws import generator
from sideband.infer.errors import BadInput, in_one_line

# What is simulated, where a suite does not say otherwise: how many showers, and of which χ [GeV, m, ns].
SIZES = {"photons": 70_000, "test_photons": 100_000, "decays": 2000, "training_decays": 20_000, "targets": 10_000}
GRID = {"masses": MASSES, "depths": DEPTHS, "lifetimes": LIFETIMES}
TRAINED_ON = 1.0  # ns: the lifetime whose decays the supervised classifier learns from, as in arXiv:2312.11618
LEARNED = 0.4  # share of those in a file that it learns from
SIMULATION = "parametrised showers (Grindhammer and Peters) of photons and chi -> gamma gamma in CaloGAN's calorimeter"

Group = tuple[Showers, NDArray[Any]]  # showers, and the number or mass of the sample that each belongs to


def make(section: Mapping[str, Any], files: Mapping[str, Path], identity: str, seed: int, out: str | Path) -> None:
    """Draw a task and write it to `out`.

    Args:
        section: the suite's `dataset`.
        files: the files that it names, by part.
        identity: digest of both.
        seed: of the showers, where they are simulated, and of their order.
        out: the file.

    Raises:
        BadInput: a file is not one of showers, or too small; numba is not installed.
    """
    simulated = section["source"] == "showers"
    groups, samples = _simulated(section, seed) if simulated else _from_files(section, files, seed)
    test, sample = groups["test"]
    incident = test.energy[sample == 0]
    count = min(section.get("targets", SIZES["targets"]), len(incident))
    attributes = {
        "kind": "task",
        "place": PLACE,
        "mass": "energy",
        "features": ["showers"],
        "seed": seed,
        "injection": 0,
        "dataset": SIMULATION if simulated else f"showers from {files['data'].name}",
        "dataset_sha256": identity,
        "samples": json.dumps([vars(each) for each in samples]),
        "photons": len(groups["data"][0]),
        "target_source": "incident energies of test photons",
    }
    with events.new_file(out) as file:
        file.attrs.update(attributes)
        for name, (showers, sample_of) in groups.items():
            columns = {"energy": showers.energy, "showers": showers.voxels}
            if name != "data":
                columns |= {
                    "label": (sample_of > 0).astype(np.int8),
                    {"test": "sample", "reference": "mass"}[name]: sample_of,
                }
            if name == "test":
                columns["deposited"] = showers.voxels.sum(1)
            events.write(file.create_group(name), columns, {**UNITS, "mass": "GeV", "deposited": "MeV"})
        file.create_dataset("target", data=incident[:count]).attrs["unit"] = "GeV"


def check(the_task: tasks.Task) -> list[Decay]:
    """The samples of decays of a task, in the order of their numbers in `test/`.

    Raises:
        BadInput: the task lacks what the others of this problem have.
    """
    path, attributes = the_task.path, the_task.attributes
    tasks.check_attributes(attributes, {"photons": tasks.WHOLE, "samples": tasks.TEXT, "injection": tasks.WHOLE}, path)
    with events.opened(path) as file:
        for group, columns in {"reference": ["label", "mass"], "test": ["label", "sample", "deposited"]}.items():
            for name, data in tasks.group(file, group, columns, path).items():
                if data.ndim != 1:
                    raise BadInput(f"{path}: '{group}' has {name!r} of shape {data.shape}; draw the task again")
    return samples(attributes)


def samples(attributes: Mapping[str, Any]) -> list[Decay]:
    """The samples of decays that a task's attributes name; raises `BadInput` if they name none."""
    try:
        return [Decay(**each) for each in json.loads(attributes["samples"])]
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"attribute 'samples' names no decays ({in_one_line(error)}); draw the task again") from error


def _simulated(section: Mapping[str, Any], seed: int) -> tuple[dict[str, Group], list[Decay]]:
    asked: dict[str, Any] = {**SIZES, **GRID, **section}
    lifetimes = [Decay(mass, lifetime=lifetime) for mass in asked["masses"] for lifetime in asked["lifetimes"]]
    grid = [Decay(mass, depth=depth) for mass in asked["masses"] for depth in asked["depths"]] + lifetimes
    learned = [Decay(mass, lifetime=TRAINED_ON) for mass in asked["masses"]]
    test = [decays(each, asked["decays"], _seed(seed, "test")) for each in grid]
    reference = [decays(each, asked["training_decays"], _seed(seed, "training")) for each in learned]
    return {
        "data": _joined([photons(asked["photons"], _seed(seed, "training"))], np.zeros(1)),
        "test": _joined([photons(asked["test_photons"], _seed(seed, "test")), *test], _numbers(grid)),
        "reference": _joined(reference, np.array(asked["masses"], np.float32)),
    }, grid


def _from_files(
    section: Mapping[str, Any], files: Mapping[str, Path], seed: int
) -> tuple[dict[str, Group], list[Decay]]:
    grid = [Decay(**{key: value for key, value in each.items() if key != "file"}) for each in section["decays"]]
    data, test = readers.read(files["data"]), [readers.read(files["test"])]
    reference: list[Showers] = []
    learned: list[float] = []
    for index, each in enumerate(grid):
        showers = readers.read(files[f"decays {index}"])
        first = 0
        if each.lifetime == TRAINED_ON:
            first = round(LEARNED * len(showers))
            reference.append(showers[:first])
            learned.append(each.mass)
        test.append(showers[first:])
    if not reference:
        raise BadInput(
            f"dataset.decays: none has a lifetime of {TRAINED_ON:g} ns, which the supervised classifier learns from"
        )
    order = generator(seed, "order", 0).permutation(len(data))[: section.get("photons", len(data))]
    return {
        "data": _joined([data[order]], np.zeros(1)),
        "test": _joined(test, _numbers(grid)),
        "reference": _joined(reference, np.array(learned, np.float32)),
    }, grid


def _numbers(grid: list[Decay]) -> NDArray[np.int16]:
    return np.arange(len(grid) + 1, dtype=np.int16)


def _seed(seed: int, purpose: str) -> int:
    """One of the seeds that a task's seed stands for."""
    return int(generator(seed, f"showers {purpose}", 0).integers(2**62))


def _joined(parts: list[Showers], names: NDArray[Any]) -> Group:
    """Samples one after the other, each event with the name of its sample; events without energy are left out."""
    sample = np.repeat(names, [len(part) for part in parts])
    seen = np.concatenate([(part.voxels > 0).any(1) for part in parts])
    columns = (np.concatenate([getattr(part, name) for part in parts])[seen] for name in ("energy", "voxels", "lost"))
    return Showers(*columns), sample[seen]

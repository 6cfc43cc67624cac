"""Sections of the report for a suite of calorimeter showers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks.metrics import closure, sic
from sideband.benchmarks.problems.showers import panels, tables
from sideband.benchmarks.problems.showers.draw import SIMULATION
from sideband.benchmarks.problems.showers.figures import describe
from sideband.benchmarks.problems.showers.panels import decays
from sideband.benchmarks.report.content import Picture, Section
from sideband.benchmarks.report.results import Results
from sideband.benchmarks.simulate.showers.decays import Decay
from sideband.benchmarks.simulate.showers.geometry import VOXELS
from sideband.benchmarks.simulate.showers.simulation import Showers
from sideband.infer import events

SHOWN = 10_000  # showers of a sample in figures, at most
LIKE_DECAYS = (45, 55)  # GeV: photons of about χ's energy
LOOKED_AT = (Decay(5, 0.33), Decay(5, 1.04), Decay(5, 1.24), Decay(0.005, 1.04))
CAPTIONS = {
    "images": "mean energy of each voxel",
    "fractions": "share of each layer in the visible energy",
    "depth": "share of each layer against the incident energy",
    "response": "visible over incident energy, and its spread",
    "spectrum": "energies of voxels",
    "hits": "voxels that hold energy",
}


def sections(results: Results) -> Iterator[Section]:
    """Sensitivity, closure and the showers themselves, so far as a suite of showers is finished."""
    yield "Sensitivity", _sensitivity_text(), [*_sensitivity(results), *tables.sensitivity(results)]
    yield "Closure", _closure_text(results), [*tables.closure(results), *_generated(results)]
    exported = tables.exported(results)
    if exported.rows:
        text = (
            "Scores come from graphs in float32. A log-likelihood of many voxels is a sum of many large terms, so "
            "rounding may show in it: the largest difference from the same flow in float64, beside the score's spread "
            "over photons."
        )
        yield "Exported likelihood", text, [exported]
    looked_at = _looked_at(results)
    if looked_at:
        yield "Showers", _showers_text(results), [*looked_at]


def protocol(results: Results) -> dict[str, str]:
    """What was done, in words."""
    drawn = [f"{row['dataset']} (sha256 {row['dataset_sha256'][:16]}…)" for _, row in results.tasks.head(1).iterrows()]
    return {
        "events": f"{''.join(drawn) or 'No task is drawn yet'}; numbers are in the table of tasks.",
        "background": "Single photons of many energies. The flows are fitted to photons alone, which never enter a "
        "test; there is no mass window and no injection.",
        "signal": "χ → γγ at a fixed depth or after a lifetime, each sample apart, in no fit but the supervised "
        "classifiers', which have decays of their own.",
        "generated": "As many showers as there are target energies: incident energies of test photons.",
        "scores": "Of test showers no fit has seen, from ONNX Runtime. The incident energy is not given to any score.",
    }


def _sensitivity_text() -> str:
    return (
        "How well a score separates each sample of decays from photons. χ has one energy and photons have many, so the "
        "deposited energy alone would reject most photons, and that says nothing about the shower. Therefore every "
        "number comes twice: against all photons, and against photons weighted to the sample's deposited energies "
        "(“matched”), where energy alone has an AUC of 0.5. Figures show the matched one. An AUC below 0.5 means that "
        "decays look more like photons than photons do, as two soft photons may to a likelihood. "
        f"SIC = ε_S/√ε_B is taken at the loosest cut that passes at most {sic.WORKING_POINT:g} of the photons; showers "
        f"of equal scores pass together, and {sic.LEAST_PASSING} photons must pass, so the ε_B that is achieved stands "
        "beside it. A perfect score has 1/√ε_B there, which few matched photons keep small: compare SIC only at like "
        "ε_B. Median over seeds with their band; max SIC is in results.csv. A supervised classifier has learned decays "
        "of one mass; the first table compares it with the likelihood on that mass and on the others."
    )


def _sensitivity(results: Results) -> Iterator[Picture]:
    drawn = {
        "grid_auc": (
            panels.maps(results),
            "Matched AUC by mass of χ and depth of its decay, median over seeds. White: no better than chance. Blue: "
            "decays look more like photons than photons do. The calorimeter begins at 1.00 m.",
        ),
        "depth": (
            panels.by_depth(results),
            "Matched AUC against the depth of the decay, seeds as bands. The black line is the calorimeter's face, the "
            "grey bands are its layers 0, 1 and 2; they are drawn wider than the flight in front of them.",
        ),
        "dead_zone": (
            panels.dead_zone(results),
            "Decays of every mass in front of the face, against the separation of the two photons there: 2m/E times "
            "the way, the smallest there is; half of all pairs lie within 15 % of it. The dead zone is at the left. "
            "Photons that arrive closer than a cell, and well inside a Molière radius, merge into one shower. Mass and "
            "separation no longer matter there; what is left to a tagger is that two showers of half the energy start "
            "higher up, and fluctuate less, than one.",
        ),
        "lifetimes": (panels.by_lifetime(results), "Matched AUC of decays after each lifetime, seeds as bands."),
    }
    for name, (figure, caption) in drawn.items():
        if figure is not None:
            yield Picture(name, caption, figure)


def _closure_text(results: Results) -> str:
    sizes = results.metric("closure_auc")["note"].str.extract(r"^(\d+)")[0].dropna().astype(int)
    text = (
        f"A fixed boosted-tree classifier, {closure.FOLDS}-fold, is trained to tell generated from true photons of the "
        f"same incident energies: once on all {VOXELS} voxels, once on the layers' energies, hits and largest shares. "
        "An AUC of 0.5 means that it cannot; the floor is photons against photons, on all voxels."
    )
    if len(sizes) and sizes.min() < closure.LEAST_EVENTS:
        text += f" With {sizes.min()} events a side, small failures go unseen."
    return text


def _generated(results: Results) -> Iterator[Picture]:
    """Generated photons of the first seed over true ones, of every method that makes any."""
    folder = tables.first_seed(results)
    for name in results.suite["methods"]:
        path = folder / name / "template.h5"
        if path.exists() and (folder / "task.h5").exists():
            title = f"generated by {tables.maker(name)}"
            samples = {"test photons": _test(folder, 0), title: _showers(path, "/", slice(SHOWN))}
            for what, figure in _described(samples).items():
                yield Picture(f"{name}_{what}", f"Test photons and photons {title}: {CAPTIONS[what]}.", figure)


def _showers_text(results: Results) -> str:
    text = (
        f"Photons and some of the decays, from the first seed's test events, {SHOWN:,} of each at most; where nothing "
        f"is drawn against the incident energy, photons of {LIKE_DECAYS[0]}–{LIKE_DECAYS[1]} GeV, for χ has 50 GeV."
    )
    if results.tasks.iloc[0]["dataset"] == SIMULATION:
        text += (
            " The showers follow the parametrisation of Grindhammer and Peters (hep-ex/0001020), with lead and argon "
            "taken as one medium. It has no hadrons and no albedo, and across a shower nothing fluctuates but the "
            "spots that carry its energy; absolute AUCs will not equal those of Geant4. Methods can be compared with "
            "each other, and trends in mass and depth with those of arXiv:2312.11618."
        )
    return text


def _looked_at(results: Results) -> list[Picture]:
    folder = tables.first_seed(results)
    if not (folder / "task.h5").exists():
        return []
    photons, (low, high) = _test(folder, 0), LIKE_DECAYS
    like = photons[(photons.energy > low) & (photons.energy < high)]
    chosen = {each.name: _test(folder, number) for number, each in enumerate(decays(results), 1) if each in LOOKED_AT}
    drawn = _described({f"photons, {low}–{high} GeV": like, **chosen})
    against_energy = _described({"photons": photons, **chosen})
    drawn |= {what: against_energy[what] for what in ("depth", "response")}
    return [Picture(f"showers_{what}", f"Photons and decays: {CAPTIONS[what]}.", drawn[what]) for what in drawn]


def _described(samples: dict[str, Showers]) -> dict[str, Figure]:
    return describe({name: showers for name, showers in samples.items() if showers.voxels.any()})


def _test(folder: Path, number: int) -> Showers:
    """The first test showers of a sample, 0 for photons."""
    sample = events.read(folder / "task.h5", ["sample"], "test")["sample"]
    rows = np.flatnonzero(sample == number)[:SHOWN]
    if not len(rows):
        return _showers(folder / "task.h5", "test", slice(0))
    return _showers(folder / "task.h5", "test", slice(rows[0], rows[-1] + 1))[rows - rows[0]]


def _showers(path: Path, group: str, rows: slice) -> Showers:
    found = events.read(path, ["energy", "showers"], group, rows)
    lost: NDArray[np.float32] = np.zeros(len(found["energy"]), np.float32)  # neither file has it
    return Showers(found["energy"], found["showers"], lost)

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.metrics import sculpting
from sideband.benchmarks.metrics.sculpting import EFFICIENCIES, Sculpting
from sideband.benchmarks.problems.search import sculpting as section
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Table
from sideband.benchmarks.report.results import gather
from sideband.infer import events
from sideband.infer.errors import BadInput

NUMBER = 60_000
WINDOW = (1.8, 2.2)


def masses(seed: int = 0) -> np.ndarray:
    return (1 + np.random.default_rng(seed).exponential(size=NUMBER)).astype(np.float32)


def measured(mass: np.ndarray, score: np.ndarray, seed: int = 0, weight: np.ndarray | None = None) -> Sculpting:
    return sculpting.sculpting(mass, score, events.in_window(mass, WINDOW), seed, weight)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_random_selection_has_chi2_of_one_per_degree_of_freedom(weighted: bool) -> None:
    """Toys: the mean over many random scores is 1 within its error, at every efficiency."""
    random, mass, toys = np.random.default_rng(1), masses(), 30
    found = []
    for seed in range(toys):
        weight = random.uniform(0.2, 2, NUMBER) if weighted else None
        each = measured(mass, random.uniform(size=NUMBER), seed, weight)
        found.append((each.chi2, each.random))
    chi2 = np.array(found)
    known = np.array(EFFICIENCIES) >= 5e-3  # of fewer events, the spectrum has too few bins in some toys
    for values in np.moveaxis(chi2, 1, 0):
        error = values.std(axis=0) / np.sqrt(toys)
        assert (abs(values.mean(axis=0) - 1)[known] < 4 * error[known]).all()


def test_variance_is_that_of_a_subset() -> None:
    """By hand: of two bins with 60 and 40 events, 36 and 14 pass; a = 1/2, so the variances are 15 and 10."""
    mass = np.repeat([0.25, 0.75], [60, 40])
    passes = np.concatenate([np.arange(60) < 36, np.arange(40) < 14])
    found = sculpting.chi2_per_ndof(mass, np.ones(100), passes, np.array([0, 0.5, 1]))
    assert found == pytest.approx(6**2 / 15 + 6**2 / 10)


def test_pulls_are_the_terms_of_chi2() -> None:
    """The same two bins, and an empty one: +6/√15 and -6/√10."""
    found = sculpting.pulls(np.array([60.0, 0.0, 40.0]), np.array([36.0, 0.0, 14.0]))
    np.testing.assert_allclose(found, [6 / 15**0.5, 0, -6 / 10**0.5])
    assert not sculpting.pulls(np.zeros(2), np.zeros(2)).any()
    assert not sculpting.pulls(np.ones(2), np.ones(2)).any()  # all pass


def test_a_score_that_follows_the_mass_is_far_above_one() -> None:
    mass = masses()
    random = np.random.default_rng(2)
    found = measured(mass, mass + random.normal(size=NUMBER))
    assert min(found.chi2[:5]) > 5
    assert max(found.random[:5]) < 1.6


def test_a_local_bump_is_above_one() -> None:
    """One percent of the window's events get scores that a cut prefers: a bump of the window's width."""
    random, mass = np.random.default_rng(3), masses()
    score = random.uniform(size=NUMBER) + 0.05 * events.in_window(mass, (1.95, 2.05))
    found = measured(mass, score)
    place = EFFICIENCIES.index(0.05)
    assert found.chi2[place] > 1 + 5 * np.sqrt(2 / (found.bins[place] - 1))
    middle = 0.5 * (np.array(found.edges[1:]) + found.edges[:-1])
    share = np.array(found.after) / np.maximum(found.before, 1)
    bump = events.in_window(middle, (1.95, 2.05))
    assert share[bump].mean() > 3 * share[(middle < 1.9) | ((middle > 2.1) & (middle < 3))].mean()


def test_bins_hold_enough_events_after_the_cut() -> None:
    random, mass = np.random.default_rng(4), masses()
    found = measured(mass, random.uniform(size=NUMBER))
    assert found.bins[:3] == [300, 300, 300]
    for selected, bins in zip(found.selected, found.bins, strict=True):
        assert bins == (min(300, selected // 5) if selected >= 50 else 0)
    few = measured(mass[:2000], random.uniform(size=2000))
    assert few.bins[0] > 0
    assert few.bins[-1] == 0
    assert np.isnan([few.chi2[-1], few.random[-1]]).all()


def test_thresholds_come_from_the_signal_region() -> None:
    random, mass = np.random.default_rng(5), masses()
    inside = events.in_window(mass, WINDOW)
    score = random.uniform(size=NUMBER) + ~inside  # everything outside passes
    found = measured(mass, score)
    np.testing.assert_allclose(
        np.subtract(found.selected, (~inside).sum()), inside.sum() * np.array(EFFICIENCIES), atol=2
    )


def test_equal_scores_cannot_be_cut() -> None:
    found = measured(masses(), np.zeros(NUMBER))
    assert found.selected == [NUMBER] * len(EFFICIENCIES)
    assert np.isnan(found.chi2).all()


def test_only_ratios_of_weights_matter() -> None:
    random, mass = np.random.default_rng(6), masses()
    score, weight = random.uniform(size=NUMBER) + 0.1 * mass, random.uniform(size=NUMBER)
    one, other = (measured(mass, score, weight=each) for each in (weight, 4 * weight))
    np.testing.assert_array_equal(one.chi2, other.chi2)
    plain, uniform = measured(mass, score), measured(mass, score, weight=np.ones(NUMBER))
    np.testing.assert_allclose(uniform.chi2[:5], plain.chi2[:5], rtol=0.02)  # the cut may pass one event more
    assert plain.bins[:5] == uniform.bins[:5]


def test_a_seed_repeats_itself_and_a_record_is_plain() -> None:
    mass, score = masses(), np.random.default_rng(7).uniform(size=NUMBER)
    one, again, other = (measured(mass, score, seed) for seed in (1, 1, 2))
    np.testing.assert_equal(asdict(one), asdict(again))
    np.testing.assert_equal(one.chi2, other.chi2)
    assert one.random[0] != other.random[0]
    for values in asdict(one).values():
        assert {type(value) for value in values} <= {int, float}


def shaped(chi2: float, few: bool = False) -> dict[str, Any]:
    """A record as an evaluation has it; `few` where too few events pass the last cut."""
    number, edges = len(EFFICIENCIES), np.linspace(2.3, 5.0, sculpting.SHOWN_BINS + 1)
    last = [float("nan")] if few else [1.0]
    before = np.exp(-edges[1:])
    return {
        "efficiencies": list(EFFICIENCIES),
        "selected": [10_000] * number,
        "bins": [300] * (number - 1) + ([0] if few else [40]),
        "chi2": [chi2] * (number - 1) + [chi2 * last[0]],
        "random": [1.0] * (number - 1) + last,
        "edges": edges.tolist(),
        "before": before.tolist(),
        "after": (before / 10).tolist(),
    }


def with_sculpting(run: tuple[Suite, Path], folder: Path, changes: dict[str, Any]) -> tuple[Suite, Path]:
    """A copy of a run whose evaluations of the first window have these records, by method."""
    shutil.copytree(run[1], folder)
    for name, record in changes.items():
        path = folder / "3.3-3.7" / "n600" / "s1" / name / "evaluation.json"
        events.write_json(path, events.read_json(path) | {"sculpting": record})
    return run[0], folder


def test_the_section_has_a_table_and_two_figures(labelled_run: tuple[Suite, Path], tmp_path: Path) -> None:
    records = {"cathode": shaped(5.0), "iad": shaped(1.25, few=True), "anode": None}
    results = gather(*with_sculpting(labelled_run, tmp_path / "runs", records))
    found = section.section(results)
    assert found is not None
    heading, text, (chi2, table, spectra) = found
    assert heading == "Sculpting"
    assert "(40 or more at ε = 0.001)" in text
    assert "contain signal" in text
    assert isinstance(table, Table)
    assert table.head[:3] == ["method", "ε = 0.2", "random"]
    assert table.rows == [
        ["CATHODE", *["5.00", "1.00"] * 4],
        ["Idealised detector", *["1.25", "1.00"] * 3, "n/a", "n/a"],
    ]
    for picture in (chi2, spectra):
        assert isinstance(picture, Picture)
        style.save(picture.figure, tmp_path / picture.name)
    assert len([axes for axes in spectra.figure.axes if axes.get_visible()]) == 4  # of each, its pulls lie below it
    rows = results.numbers[results.numbers["metric"] == "sculpting_0.01"]
    assert dict(zip(rows["method"], rows["value"], strict=True)) == {"cathode": 5.0, "iad": 1.25}


def test_there_is_no_section_without_records(labelled_run: tuple[Suite, Path], tmp_path: Path) -> None:
    none = dict.fromkeys(("cathode", "anode", "iad"))
    assert section.section(gather(*with_sculpting(labelled_run, tmp_path / "runs", none))) is None


@pytest.mark.parametrize("key", ["chi2", "bins", "before"])
def test_a_damaged_record_is_one_line(labelled_run: tuple[Suite, Path], tmp_path: Path, key: str) -> None:
    damaged = shaped(1.0)
    damaged[key] = damaged[key][:-1]
    with pytest.raises(BadInput, match=f"evaluation.json: sculpting.{key}: .* run the suite again"):
        gather(*with_sculpting(labelled_run, tmp_path / "runs", {"cathode": damaged}))

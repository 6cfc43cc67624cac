"""The report of a suite of showers, from numbers made up here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sideband.benchmarks.commands.suites import _print_summary
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.problems.showers import panels, tables
from sideband.benchmarks.problems.showers import sections as showers
from sideband.benchmarks.report import page as report
from sideband.benchmarks.report.content import Picture, Table
from sideband.benchmarks.report.results import Results, gather
from sideband.benchmarks.simulate.showers.decays import Decay, daughters
from sideband.infer import events, provenance
from tests.benchmarks.conftest import fit_record
from tests.benchmarks.readable import assert_readable

SAMPLES = [
    *(Decay(mass, depth) for mass in (5, 0.005) for depth in (0.33, 1.00, 1.24)),
    *(Decay(mass, lifetime=1.0) for mass in (5, 0.005)),
]
METHODS = ("caloflow", "caloflow_two_sided", "shower_first_layer", "shower_supervised")
EACH = 30  # showers of a sample

Run = tuple[Suite, Path]


def auc(method: str, seed: int, index: int) -> float:
    """Matched AUC that the files hold, different in every one."""
    return round(0.3 + 0.1 * METHODS.index(method) + 0.04 * index + 0.02 * seed, 2)


def write_task(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)

    def columns(number: int) -> dict[str, Any]:
        energy = random.uniform(1, 100, number).astype(np.float32)
        return {"energy": energy, "showers": random.gamma(0.5, 40, (number, 504)).astype(np.float32)}

    sample = np.concatenate([np.zeros(4 * EACH), np.repeat(np.arange(1, len(SAMPLES) + 1), EACH)]).astype(np.int16)
    test = columns(len(sample))
    test["energy"][sample > 0] = 50
    decays = json.dumps([vars(each) for each in SAMPLES])
    attributes = {
        "kind": "task",
        "place": "showers",
        "mass": "energy",
        "features": ["showers"],
        "seed": seed,
        "injection": 0,
    }
    attributes |= {"dataset": "toy", "dataset_sha256": "0" * 64, "samples": decays, "photons": 1234}
    path.parent.mkdir(parents=True)
    with events.new_file(path) as file:
        file.attrs.update(attributes)
        events.write(file.create_group("data"), columns(10))
        told = {"label": (sample > 0).astype(np.int8), "sample": sample, "deposited": test["showers"].sum(1)}
        events.write(file.create_group("test"), test | told)
        told = {"label": np.ones(20, np.int8), "mass": np.repeat([5, 0.005], 10)}
        events.write(file.create_group("reference"), columns(20) | told)
        events.write(file, {"target": test["energy"][:5]})


def evaluation(method: str, seed: int) -> dict[str, Any]:
    samples = []
    for index, each in enumerate(SAMPLES):
        value = auc(method, seed, index)
        numbers = {"auc": value - 0.1, "sic": 10 * value, "achieved": 0.001, "max_sic": 20 * value, "max_sic_at": 0.01}
        matched = {"auc": value, "sic": value, "achieved": 0.02 * seed, "max_sic": 2 * value, "max_sic_at": 0.1}
        if each.mass == 5 and each.depth == 0.33:
            matched |= {"sic": None, "achieved": float("nan")}
        told = vars(each) | {"name": each.name, "events": EACH}
        samples.append(told | numbers | {f"matched_{key}": number for key, number in matched.items()})
    closed = {"auc": 0.61, "error": 0.01, "events": 300}
    closure = (
        {"closure": closed, "closure_shape": closed | {"auc": 0.55}} if method == "caloflow" else {"closure": None}
    )
    return {"samples": samples, "excess": None, "sic": None, **closure, **provenance.record()}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two seeds of which nothing is finished."""
    folder = tmp_path_factory.mktemp("showers")
    content = {
        "about": "made-up numbers",
        "dataset": {"source": "showers"},
        "seeds": [1, 2],
        "methods": dict.fromkeys(METHODS),
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(content))
    suite = suites.load(folder / "toy.yaml")
    suite.save(folder / "nothing" / "suite.json")
    return suite, folder / "nothing"


def finish(suite: Suite, folder: Path, methods: tuple[str, ...] = METHODS) -> Path:
    folder.mkdir()
    suite.save(folder / "suite.json")
    for name, seed in suite.seeds().items():
        place = folder / "showers" / "n0" / name
        write_task(place / "task.h5", seed)
        for method in methods:
            (place / method).mkdir()
            events.write_json(place / method / "fit.json", fit_record(10.0))
            events.write_json(place / method / "evaluation.json", evaluation(method, seed))
            score = {"role": "score", "atol": [0.25], "rtol": 1e-2, "drift": 0.5, "spread": 25.0}
            events.write_json(place / method / "export.json", [score, score | {"role": "template"}])
    return folder


@pytest.fixture(scope="module")
def run(started: Run, tmp_path_factory: pytest.TempPathFactory) -> Results:
    suite, _ = started
    folder = finish(suite, tmp_path_factory.mktemp("run") / "toy")
    random = np.random.default_rng(3)
    columns = {"energy": np.full(50, 50.0), "showers": random.gamma(0.5, 40, (50, 504)).astype(np.float32)}
    columns["showers"][:5] = 0  # a generator may make empty ones
    with events.new_file(folder / "showers" / "n0" / "s1" / "caloflow" / "template.h5") as file:
        events.write(file, columns)
    control = {"floor": {"auc": 0.501, "error": 0.002, "events": 300}, "sidebands": None}
    events.write_json(folder / "showers" / "control.json", control | provenance.record())
    return gather(suite, folder)


def found(results: Results) -> dict[str, list[Table | Picture]]:
    return {heading: content for heading, _, content in showers.sections(results)}


def drawn(content: list[Table | Picture]) -> Iterator[Picture]:
    return (part for part in content if isinstance(part, Picture))


def test_the_sections_of_a_finished_run(run: Results) -> None:
    sections = found(run)
    assert list(sections) == ["Sensitivity", "Closure", "Exported likelihood", "Showers"]
    sensitivity = [each.name for each in drawn(sections["Sensitivity"])]
    assert sensitivity == ["grid_auc", "depth", "dead_zone", "lifetimes"]
    kinds = {"images", "fractions", "depth", "response", "spectrum", "hits"}
    assert {each.name for each in drawn(sections["Closure"])} == {f"caloflow_{kind}" for kind in kinds}
    assert {each.name for each in drawn(sections["Showers"])} == {f"showers_{kind}" for kind in kinds}
    assert_readable([each for content in sections.values() for each in drawn(content)])
    for picture in drawn(sections["Sensitivity"]):
        picture.figure.draw_without_rendering()


def test_tables_hold_the_numbers(run: Results) -> None:
    transfer, heavy_auc, heavy_sic, light_auc, _ = tables.sensitivity(run)
    # Depths 0.33, 1.00 and 1.24 m are the samples 0 to 2 of 5 GeV and 3 to 5 of 0.005 GeV, seeds 1 and 2.
    assert transfer.rows[0] == ["CaloFlow, -log p", "0.370 (0.360–0.380)", "0.490 (0.480–0.500)", "photons"]
    assert transfer.rows[2][-1] == "nothing"
    assert transfer.rows[3][-1] == "photons, decays of 5 GeV, 1 ns"
    assert heavy_auc.head[:3] == ["decay", "photons", "CaloFlow, -log p"]
    assert [row[:3] for row in heavy_auc.rows[:3]] == [
        ["0.33 m", "all", "0.230 (0.220–0.240)"],
        ["0.33 m", "matched", "0.330 (0.320–0.340)"],
        ["1.00 m", "all", "0.270 (0.260–0.280)"],
    ]
    assert [row[0] for row in light_auc.rows[-2:]] == ["1 ns", "1 ns"]
    assert heavy_sic.rows[0][2] == "3.30 (3.20–3.40) at 0.0010"
    assert heavy_sic.rows[1][2] == "n/a"
    assert heavy_sic.rows[3][2] == "0.370 (0.360–0.380) at 0.030"
    (closed,) = tables.closure(run)
    assert closed.rows == [
        ["CaloFlow", "0.6100 (0.6100–0.6100)", "0.5500 (0.5500–0.5500)"],
        ["photons against photons", "0.5010 ± 0.0020 (300 events a side)", ""],
    ]
    assert tables.exported(run).rows == [
        ["CaloFlow, -log p", "score", "nats", "25", "0.50", "0.020"],
        ["CaloFlow, two-sided", "score", "deviations", "25", "0.50", "0.020"],
    ]


def test_what_was_drawn(run: Results) -> None:
    row = tables.drawn(run).rows[0]
    assert (row[:3], row[4:]) == (["s1", "1,234", "120"], ["8", "30", "50", "10"])
    low, high = map(float, row[3].split("–"))
    assert 1 <= low < 10
    assert 90 < high <= 100


def test_figures_hold_the_numbers(run: Results) -> None:
    grid = panels.maps(run)
    assert grid is not None
    assert [text.get_text() for text in grid.axes[0].texts] == ["0.33", "0.37", "0.41", "0.45", "0.49", "0.53"]
    depth = panels.by_depth(run)
    assert depth is not None
    assert [axes.get_title() for axes in depth.axes] == ["5 GeV", "0.005 GeV"]
    np.testing.assert_allclose(depth.axes[1].lines[0].get_xydata(), [[0.33, 0.45], [1.0, 0.49], [1.24, 0.53]])
    zone = panels.dead_zone(run)
    assert zone is not None
    np.testing.assert_allclose(zone.axes[0].lines[0].get_xydata(), [[0.134, 0.45], [134, 0.33]])


@pytest.mark.parametrize(
    ("mass", "depth", "apart"), [(5, 0.33, 134.0), (5, 0.66, 68.0), (0.05, 0.33, 1.34), (0.005, 0.66, 0.068)]
)
def test_separation_at_the_face(mass: float, depth: float, apart: float) -> None:
    decay = Decay(mass, depth)
    assert panels.separation(decay) == pytest.approx(apart)
    # Of pairs that both fly forward, the nearest ones are as near, and the median is 15 % farther.
    momenta = daughters(decay, 20_000, np.random.default_rng(1))
    momenta = momenta[(momenta[..., 2] > 0).all(1)]
    slopes = momenta[..., :2] / momenta[..., 2:]
    flown = 1000 * (1 - depth) * np.linalg.norm(slopes[:, 0] - slopes[:, 1], axis=1)
    np.testing.assert_allclose(np.quantile(flown, [0, 0.5]) / apart, [1, 2 / 3**0.5], rtol=0.02)


def test_an_unfinished_run(started: Run, tmp_path: Path) -> None:
    suite, _ = started
    folder = finish(suite, tmp_path / "toy", METHODS[2:])
    (folder / "showers" / "n0" / "s2" / "shower_supervised" / "evaluation.json").unlink()
    results = gather(suite, folder)
    sections = found(results)
    assert list(sections) == ["Sensitivity", "Closure", "Showers"]
    assert sections["Closure"] == []
    rows = {row[0]: row[1:] for row in tables.transfer(results).rows}
    assert rows["CaloFlow, -log p"] == ["n/a", "n/a", "photons"]
    assert rows["Supervised, 5 GeV"][:2] == ["0.660", "0.780"]
    zone = panels.dead_zone(results)
    assert zone is not None
    assert [text.get_text() for text in zone.legends[0].get_texts()] == [
        "Little in the first layer",
        "Supervised, 5 GeV",
    ]


def test_a_run_with_nothing_finished(started: Run, capsys: pytest.CaptureFixture[str]) -> None:
    suite, folder = started
    assert found(gather(suite, folder)) == {"Sensitivity": [], "Closure": []}
    text = report.write(suite, folder).read_text()
    assert "no mass window and no injection" in text
    assert "showers/n0/s2/shower_supervised" in text
    assert "CATHODE" not in text
    _print_summary(folder)
    assert "CaloFlow, two-sided" in capsys.readouterr().out


def test_the_summary_shows_every_mass(run: Results, capsys: pytest.CaptureFixture[str]) -> None:
    _print_summary(run.folder)
    out = capsys.readouterr().out
    assert "0.005 GeV" in out
    assert "0.370" in out

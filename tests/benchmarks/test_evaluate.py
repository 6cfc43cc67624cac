from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sideband.benchmarks.events import sources, task
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.metrics import sic
from sideband.benchmarks.problems.search import draw, evaluate
from sideband.infer import draws, events
from sideband.infer.errors import BadInput


def write(path: Path, **columns: Any) -> Path:
    with h5py.File(path, "w") as file:
        events.write(file, {name: np.asarray(values, np.float32) for name, values in columns.items()})
    return path


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory, toy_events: Callable[..., Path]) -> dict[str, Path]:
    """Tasks of one's own events: the signal region, and a validation window below it."""
    folder = tmp_path_factory.mktemp("own")
    toy_events(folder / "own.h5", 12_000)
    section = {"source": "hdf5", "data": "own.h5", "mass": {"column": "m_vis"}, "features": ["width", "charge"]}
    dataset = sources.load(section, folder)
    recipe = draw.Recipe((2000, 6000), (3300, 3700), None, 1)
    draw.make(dataset, recipe, folder / "main.h5")
    draw.make(dataset, replace(recipe, window=(2700, 3100), masked=(3300, 3700)), folder / "validation.h5")
    return {name: folder / f"{name}.h5" for name in ("main", "validation")}


def template_of(truth: Events, the_task: task.Task, path: Path) -> Path:
    return write(path, **truth.columns(the_task.mass, the_task.features))


def test_a_labelled_cell(small_task: Path, tmp_path: Path) -> None:
    the_task = task.read(small_task)
    test = the_task.events("test")
    assert test.label is not None
    random = np.random.default_rng(0)
    score = test.label + random.normal(size=len(test))
    clamped = (random.uniform(size=len(test)) < 0.25) | ~the_task.inside(test)
    scores = write(tmp_path / "scores.h5", score=score, clamped=clamped)
    reference = the_task.events("reference")
    template = template_of(reference[reference.label == 0], the_task, tmp_path / "template.h5")
    record = evaluate.evaluate(small_task, scores, template, closure_events=1000)
    inside = the_task.inside(test)
    assert 0 < record["sic"]["n_background"] == (test.label[inside] == 0).sum() < (test.label == 0).sum()
    assert record["sic"]["auc"] == pytest.approx(0.760, abs=0.02)  # Phi(1 / sqrt 2)
    assert len(record["sic"]["curve"]) == 161
    assert record["clamped_fraction"] == pytest.approx(0.25, abs=0.05)
    assert record["closure"]["events"] == 1000
    assert record["closure"]["auc"] == pytest.approx(0.5, abs=5 / np.sqrt(6 * 1000))  # true background
    assert record["excess"] is None
    assert "no cross-fitted scores" in record["excess_missing"]
    events.write_json(tmp_path / "evaluation.json", record)
    assert "code" in events.read_json(tmp_path / "evaluation.json")


def test_only_test_events_in_the_window_count_for_sic(small_task: Path, tmp_path: Path) -> None:
    the_task = task.read(small_task)
    test = the_task.events("test")
    assert test.label is not None
    inside, random = the_task.inside(test), np.random.default_rng(1)
    score = (test.label + random.normal(size=len(test))).astype(np.float32)
    other = np.where(inside, score, random.normal(size=len(test)))
    files = [
        write(tmp_path / f"{name}.h5", score=values, clamped=np.zeros(len(test)))
        for name, values in (("one", score), ("other", other))
    ]
    one, two = (evaluate.evaluate(small_task, file)["sic"] for file in files)
    np.testing.assert_equal(one, two)
    expected = vars(sic.summarise(score[inside], test.label[inside], the_task.seed))
    np.testing.assert_equal(one, expected | {"n_background": one["n_background"]})


def test_sculpting_is_that_of_the_background_at_every_mass(small_task: Path, tmp_path: Path) -> None:
    the_task = task.read(small_task)
    test = the_task.events("test")
    assert test.label is not None
    random, shaped = np.random.default_rng(2), {}
    for name, score in (("flat", random.uniform(size=len(test))), ("mass", test.mass)):
        preferred = score + 100 * (test.label == 1)  # signal must not count
        scores = write(tmp_path / f"{name}.h5", score=preferred, clamped=np.zeros(len(test)))
        shaped[name] = evaluate.evaluate(small_task, scores)["sculpting"]
        assert sum(shaped[name]["before"]) == (test.label == 0).sum()
    assert shaped["flat"]["chi2"][0] == pytest.approx(1, abs=5 * np.sqrt(2 / shaped["flat"]["bins"][0]))
    assert shaped["mass"]["chi2"][0] > 5


@pytest.mark.parametrize("moved", [False, True])
def test_events_that_started_from_signal_show_how_much_of_it_is_left(
    small_task: Path, tmp_path: Path, moved: bool
) -> None:
    """A template of the signal region's own events keeps all of its signal; one of true background none."""
    the_task = task.read(small_task)
    data, count = the_task.events("data"), 12_000
    inside = np.flatnonzero(the_task.inside(data))
    rows = np.concatenate([draws.source_rows(5, len(inside), block) for block in range(count // 1000)])
    grown = data[inside[rows]]
    if moved:
        reference = the_task.events("reference")
        truth = reference[reference.label == 0]
        grown = truth[np.arange(count) % len(truth)]
    template = template_of(grown, the_task, tmp_path / "template.h5")
    with h5py.File(template, "a") as file:
        file.attrs.update({"source": "signal region", "seed": 5})
    number = len(the_task.events("test"))
    scores = write(tmp_path / "scores.h5", score=np.arange(number), clamped=np.zeros(number))
    record = evaluate.evaluate(small_task, scores, template)
    if moved:
        assert record["signal_like"]["auc"] == pytest.approx(0.5, abs=0.06)
    else:
        assert record["signal_like"]["auc"] > 0.8


def test_a_weighted_template(small_task: Path, tmp_path: Path) -> None:
    """A template with only half of its events of small mass of the lighter jet closes only with weights."""
    the_task = task.read(small_task)
    reference = the_task.events("reference")
    truth = reference[reference.label == 0]
    large = truth.features[:, 0] > np.median(truth.features[:, 0])
    rows = np.flatnonzero(large | (np.arange(len(truth)) % 2 == 0))
    test = the_task.events("test")
    scores = write(tmp_path / "scores.h5", score=np.arange(len(test)), clamped=np.zeros(len(test)))
    data = write(tmp_path / "data.h5", score=np.linspace(0, 2, len(the_task.events("data"))))
    score = np.where(large[rows], 1 + rows / len(truth), rows / len(truth))
    held_out = write(tmp_path / "held_out.h5", score=score)
    template = template_of(truth[rows], the_task, tmp_path / "template.h5")
    given = scores, template, data, held_out, (0.5,)
    plain = evaluate.evaluate(small_task, *given)
    with h5py.File(template, "a") as file:
        file["weight"] = np.where(large[rows], 0.5, 1.0).astype(np.float32)
    weighted = evaluate.evaluate(small_task, *given)
    assert plain["closure"]["auc"] > 0.55
    assert weighted["closure"]["auc"] == pytest.approx(0.5, abs=0.04)
    inside = the_task.inside(the_task.events("data")).sum()
    for record in (plain, weighted):
        assert record["excess"][0]["expected"] == pytest.approx(0.5 * inside, rel=0.01)
    assert weighted["excess"][0]["observed"] > plain["excess"][0]["observed"]  # half the weight lies below a lower cut
    with h5py.File(template, "a") as file:
        file["weight"][:] = -1.0
    with pytest.raises(BadInput, match="'weight' must hold one number from 0 on per event"):
        evaluate.evaluate(small_task, *given)


def test_a_cell_without_a_template(small_task: Path, tmp_path: Path) -> None:
    number = len(task.read(small_task).events("test"))
    scores = write(tmp_path / "scores.h5", score=np.arange(number), clamped=np.zeros(number))
    record = evaluate.evaluate(small_task, scores)
    assert record["closure"] is None
    assert "makes no template" in record["closure_missing"]


def test_unlabelled_cells_have_excess_and_no_sic(unlabelled: dict[str, Path], tmp_path: Path) -> None:
    for name, path in unlabelled.items():
        the_task = task.read(path)
        data = the_task.events("data")
        inside = the_task.inside(data)
        random = np.random.default_rng(1)
        values = np.where(inside, random.uniform(size=len(data)), 5.0)  # sidebands must not count
        scores = write(tmp_path / "scores.h5", score=values, clamped=np.zeros(len(data)))
        held_out = write(tmp_path / "template_scores.h5", score=random.uniform(size=4 * inside.sum()))
        template = template_of(data[np.repeat(np.flatnonzero(inside), 4)], the_task, tmp_path / "template.h5")
        record = evaluate.evaluate(path, scores, template, scores, held_out, (0.1, 0.01), closure_events=400)
        assert record["sic"] is None
        assert record["sic_missing"] == "the events have no labels"
        assert record["sculpting"] is None
        assert record["sculpting_missing"] == "the events have no labels"
        assert [item["efficiency"] for item in record["excess"]] == [0.1, 0.01]
        for item in record["excess"]:
            assert item["expected"] == pytest.approx(item["efficiency"] * inside.sum(), rel=0.02)
            assert abs(item["significance"]) < 5
        before, *above = record["spectra"]["cuts"]
        assert sum(before["expected"]) == pytest.approx(inside.sum())
        assert sum(before["observed"]) > 2 * inside.sum()  # at every mass
        for item, cut in zip(record["excess"], above, strict=True):
            assert cut["efficiency"] == item["efficiency"]
            assert sum(cut["expected"]) == pytest.approx(item["expected"])
        if name == "validation":
            assert record["closure"]["events"] == 400
        else:
            assert record["closure"] is None
            assert "only a validation window" in record["closure_missing"]


def test_files_of_something_else_are_refused(small_task: Path, unlabelled: dict[str, Path], tmp_path: Path) -> None:
    the_task = task.read(small_task)
    number = len(the_task.events("test"))
    good = write(tmp_path / "good.h5", score=np.arange(number), clamped=np.zeros(number))
    reference = the_task.events("reference")[:400]
    template = template_of(reference, the_task, tmp_path / "template.h5")

    def refused(scores: Path, *others: Path | None) -> str:
        with pytest.raises(BadInput) as found:
            evaluate.evaluate(small_task, scores, *others)
        return str(found.value)

    few = write(tmp_path / "few.h5", score=np.arange(number - 1), clamped=np.zeros(number - 1))
    assert f"{few}: holds {number - 1} scores, and 'test' in {small_task} {number} events" in refused(few)
    assert "of unequal length" in refused(write(tmp_path / "x.h5", score=np.arange(number), clamped=np.zeros(3)))
    none = write(tmp_path / "none.h5", score=[], clamped=[])
    assert "holds no events" in refused(none)
    bad = write(tmp_path / "bad.h5", score=np.full(number, np.nan), clamped=np.zeros(number))
    assert "NaN or infinite" in refused(bad)
    for attribute, value, said in (
        ("events_sha256", events.sha256(unlabelled["main"]), "was made of another file than"),
        ("events_sha256", [1, 2], "was made of another file than"),
        ("group", "data", "holds scores of 'data' in"),
    ):
        other = write(tmp_path / "other.h5", score=np.arange(number), clamped=np.zeros(number))
        with h5py.File(other, "a") as file:
            file.attrs[attribute] = value
        assert said in refused(other)
    assert "too few for a closure test" in refused(good, template_of(reference[:20], the_task, tmp_path / "short.h5"))
    held_out = write(tmp_path / "held_out.h5", score=np.arange(399))
    assert "holds 399 scores" in refused(good, template, None, held_out)
    assert f"holds {number} scores, and 'data' in {small_task}" in refused(good, template, good)
    with h5py.File(template, "a") as file:
        file.attrs["task_sha256"] = "0" * 64
    assert f"{template}: was made of another file than {small_task}" in refused(good, template)


def test_controls(small_task: Path, unlabelled: dict[str, Path]) -> None:
    record = evaluate.control(small_task, 1000)
    assert record["floor"]["auc"] == pytest.approx(0.5, abs=5 / np.sqrt(6 * 1000))
    assert record["sidebands"]["auc"] > record["floor"]["auc"] + 0.03
    record = evaluate.control(unlabelled["validation"], 400)
    assert record["floor"]["auc"] == pytest.approx(0.5, abs=5 / np.sqrt(6 * 400))
    record = evaluate.control(unlabelled["main"], 400)
    assert record["floor"] is record["sidebands"] is None


def test_the_floor_compares_two_halves_without_a_common_event(
    unlabelled: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[np.ndarray] = []

    def keep(one: np.ndarray, other: np.ndarray, most: int | None) -> evaluate.closure.Closure:
        sides.extend([one, other])
        return evaluate.closure.Closure(0.5, 0.0, 1, ([], []))

    monkeypatch.setattr(evaluate.closure, "closure", keep)
    evaluate.control(unlabelled["validation"], None)
    one, other = ({tuple(row) for row in side} for side in sides[:2])
    assert one
    assert other
    assert not one & other


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 0.5), (1.0, 0.760)])  # Phi(shift / sqrt 2)
def test_closure_in_the_latent_space(small_task: Path, tmp_path: Path, shift: float, expected: float) -> None:
    """The background of the window, and nothing else, against the whole template."""
    the_task = task.read(small_task)
    test, reference = the_task.events("test"), the_task.events("reference")
    random = np.random.default_rng(0)
    scores = write(tmp_path / "scores.h5", score=random.normal(size=len(test)), clamped=np.zeros(len(test)))
    template = template_of(reference[reference.label == 0], the_task, tmp_path / "template.h5")
    elsewhere = (test.label == 1) | ~the_task.inside(test)
    encoded = random.normal(size=(len(test), 2)) + 9.0 * elsewhere[:, None]
    latents = (
        write(tmp_path / "latents.h5", latent=encoded),
        write(tmp_path / "made.h5", latent=random.normal([shift, 0], size=(len(reference), 2))[reference.label == 0]),
    )
    record = evaluate.evaluate(small_task, scores, template, closure_events=2000, latents=latents)
    assert record["latent_closure"]["auc"] == pytest.approx(expected, abs=0.05)
    short = write(tmp_path / "short.h5", latent=encoded[1:])
    with pytest.raises(BadInput, match="latents, and 'test' in"):
        evaluate.evaluate(small_task, scores, template, latents=(short, latents[1]))

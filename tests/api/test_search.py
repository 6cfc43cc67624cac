"""A search in memory: the numbers of the command line, what is refused, and what is left behind."""

import gc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sideband import Search
from sideband.api.excess import Excess
from sideband.api.fit import Fit
from sideband.benchmarks.metrics import excess as metric
from sideband.infer import events
from sideband.infer.errors import BadInput
from sideband.infer.model import check
from tests.api.conftest import TINY, Table, features
from tests.conftest import Outcome


@pytest.fixture(scope="session")
def cathode(search: Search) -> Fit:
    return search.fit("cathode")


@pytest.fixture
def by_commands(search: Search, cathode: Fit, command: Callable[..., Outcome], tmp_path: Path) -> Path:
    """The same steps on the same task, by their commands; the search's folder is a suite."""
    suite, task = search.folder / "search.json", search.task()
    common = ("--suite", suite, "--task", task, "--log", "later")
    needs = f"sideband={tmp_path / 'sideband' / 'model.pt'}"
    for arguments in (
        ("benchmarks", "task", suite, "--out", tmp_path / "task.h5"),
        ("train", "fit", "sideband", *common, "--out", tmp_path / "sideband"),
        ("train", "fit", "cathode", *common, "--out", tmp_path / "cathode", "--needs", needs),
        ("export", "cell", tmp_path / "cathode" / "model.pt", "--task", task),
        (
            "infer",
            "template",
            tmp_path / "cathode" / "template.onnx",
            "--task",
            task,
            "--out",
            tmp_path / "template.h5",
        ),
    ):
        done = command(*arguments)
        assert done.status == 0, done.err
    return tmp_path


def test_the_numbers_are_those_of_the_commands(
    search: Search, cathode: Fit, by_commands: Path, command: Callable[..., Outcome]
) -> None:
    names = list(search.columns)
    ours, theirs = (events.read(path, names, "data") for path in (search.task(), by_commands / "task.h5"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in names)

    cell, out = by_commands / "cathode", by_commands / "scores.h5"
    command("infer", "score", cell / "score.onnx", "--events", search.task(), "--group", "data", "--out", out)
    scores = events.read(out, ["score"])["score"]
    assert len(np.unique(scores)) > 10
    assert np.array_equal(cathode.score(features(ours)), scores)

    template = events.read(by_commands / "template.h5", names)
    drawn = cathode.template(700)
    assert list(drawn) == names
    assert all(np.array_equal(drawn[name], template[name][:700]) for name in names)

    folds, group = [cell / "fold0.onnx", cell / "fold1.onnx"], ("--events", by_commands / "template.h5")
    command("infer", "score", *folds, "--events", search.task(), "--group", "data", "--out", by_commands / "data.h5")
    command("infer", "score", *folds, *group, "--out", by_commands / "held_out.h5")
    data, held_out = (events.read(by_commands / f"{name}.h5", ["score"])["score"] for name in ("data", "held_out"))
    inside = events.in_window(ours["mass"], search.window)
    expected = metric.excess(data[inside], held_out, 0.1)
    (found,) = search.excess(cathode, [0.1])
    assert (found.observed, found.expected, found.error) == (expected.observed, expected.expected, expected.error)
    assert found.systematic is not None
    assert found.significance == metric.significance(
        found.observed, found.expected, found.error, found.systematic, found.windows
    )
    assert found.windows == 1
    assert f"statistical errors and δ_sys = {found.systematic:.3g} from 1 window" in str(found)


def test_a_shared_fit_serves_every_method(search: Search, cathode: Fit) -> None:
    model = cathode.folder.parent / "sideband" / "model.pt"
    before = model.stat().st_mtime_ns
    search.fit("cathode@again")
    assert model.stat().st_mtime_ns == before
    assert search.fit("cathode").folder == cathode.folder
    with pytest.raises(BadInput, match=r"fit\('cathode'\): is fitted with other settings already; call this one catho"):
        search.fit("cathode", oversampling=3)


def test_templates_of_other_seeds_are_others(search: Search, cathode: Fit) -> None:
    first, other, again = (cathode.template(20, seed)["width"] for seed in (None, 2, np.int64(1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    for number, seed, words in ((0, None, r"template\(0\)"), (2.5, None, r"template\(2.5\)"), (1, -1, "seed=-1")):
        with pytest.raises(BadInput, match=words):
            cathode.template(number, seed)  # type: ignore[arg-type]
    for efficiencies in ([2], [], 0.1):
        with pytest.raises(BadInput, match=r"efficiencies: .* are no numbers between 0 and 1"):
            search.excess(cathode, efficiencies)  # type: ignore[arg-type]


def test_a_fit_belongs_to_its_search(cathode: Fit, own: Table) -> None:
    other = Search(own["mass"], features(own), (3300, 3700), **TINY)
    with pytest.raises(BadInput, match="was fitted in another search"):
        other.excess(cathode)
    with pytest.raises(BadInput, match=r"excess\('cathode'\): is no fit; give what fit\(…\) of this search"):
        other.excess("cathode")  # type: ignore[arg-type]
    assert repr(other) == "Search('mass' in 3300-3700, features width, charge, tracks)"


def test_torch_keeps_its_threads(search: Search) -> None:
    torch.set_num_threads(2)
    search.fit("cwola@threads", strip=0.5)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_exported_files_stand_alone(cathode: Fit, tmp_path: Path) -> None:
    copies = cathode.export(tmp_path / "mine")
    assert {path.name for path in copies} == {
        "check.npz", "export.json", "fold0.onnx", "fold1.onnx", "score.onnx", "template.onnx"}  # fmt: skip
    assert max(check(tmp_path / "mine" / "template.onnx").values()) <= 1
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        cathode.export(tmp_path / "file")


def test_scores_take_what_the_search_takes(cathode: Fit, own: Table) -> None:
    few = {name: values[:50] for name, values in own.items()}
    scores = cathode.score(few)
    table = np.column_stack([few[name] for name in features(own)])
    assert np.array_equal(cathode.score(table), scores)
    assert np.array_equal(cathode.score(table, few["mass"]), scores)
    assert np.array_equal(cathode.score(pd.DataFrame(few)), scores)
    assert np.array_equal(cathode.score(pd.DataFrame(features(few))), scores)
    with pytest.raises(BadInput, match="no column 'charge'"):
        cathode.score({"width": few["width"]})


def test_scores_that_depend_on_the_mass_ask_for_it(search: Search, own: Table) -> None:
    lacathode = search.fit("lacathode")
    few = {name: values[:50] for name, values in own.items()}
    table = np.column_stack([few[name] for name in features(own)])
    assert np.array_equal(lacathode.score(few), lacathode.score(table, few["mass"]))
    assert not np.array_equal(lacathode.score(few), lacathode.score(table, few["mass"] + 100))
    with pytest.raises(BadInput, match="score: no column 'mass', which this score depends on; give it, or mass="):
        lacathode.score(table)


def test_a_ratio_that_has_learnt_next_to_nothing_is_exported(search: Search, own: Table) -> None:
    anode = search.fit("anode", training={"steps": 20})
    assert np.abs(anode.score(own)).max() < 0.1  # of a window like its sidebands; float32 resolves 1e-5 of it


def test_without_a_template_there_is_none(search: Search) -> None:
    fit = search.fit("anode", training={"steps": 20})
    assert repr(fit) == "Fit('anode' in 3300-3700: score.onnx)"
    for ask in (lambda: fit.template(10), lambda: search.excess(fit)):
        with pytest.raises(BadInput, match="'anode' makes no template of the background; fit one of cathode, "):
            ask()


def test_the_template_of_cwola_is_events_of_the_sidebands(search: Search, own: Table) -> None:
    fit = search.fit("cwola")
    template = fit.template(100)
    assert list(template) == [*search.columns, "weight", "source_row"]
    assert events.in_window(template["mass"], search.window).all()
    mass = own["mass"][template["source_row"]]
    assert ((mass > 3100) & (mass < 3900) & ~events.in_window(mass, search.window)).all()
    assert np.array_equal(template["width"], own["width"][template["source_row"]].astype(np.float32))
    assert len(fit.score(template)) == 100
    (found,) = search.excess(fit, [0.1])
    assert found.systematic is not None


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("iad", {}, "reads the truth, which a search does not know; there are: cathode, "),
        ("salad", {}, r"needs simulated background; give Search simulation=\(mass, features\)"),
        ("sideband", {}, "no method of a search; there are: cathode"),
        ("nothing", {}, "no method of a search; there are: cathode"),
        (3, {}, r"fit\(3\): give the name of a method; there are: cathode"),
        ("cathode@..", {"wrong": 1}, r"fit\('cathode@..'\): unknown setting 'wrong'"),
        ("cathode@a/b", {}, "does not match"),
        ("refined", {"of": "transit"}, r"fit\('refined'\): of: 'transit' is not fitted; fit it first"),
        ("refined", {"of": 3}, "must name other methods"),
        ("radot", {"batch": {1}}, "settings: .*; give plain numbers and text"),
    ],
)
def test_methods_that_cannot_be_fitted(search: Search, method: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        search.fit(method, **settings)
    assert "\n" not in str(refused.value)
    assert str(search.folder) not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": (3700, 3300)}, r"window \[3700.0, 3300.0\] does not lie inside mass_range"),
        ({"window": 3500}, r"window: 3500 is not a pair of numbers; give \(low, high\)"),
        ({"window": (3300, float("nan"))}, "nan is not a finite number"),
        ({"window": (9000.1, 9000.2)}, r"the window .* holds \d+ events"),
        ({"validation_windows": [(3500, 4000)]}, "validation window .* overlaps the signal region"),
        ({"simulation": 3}, r"simulation: not a pair; give its \(mass, features\)"),
        ({"preset": "fast"}, "preset: 'fast' is not one of"),
        ({"seed": "one"}, "seeds.0: 'one' is not of type"),
        ({"classifier": {"kind": "forest"}}, "classifier.kind: 'forest'"),
        ({"shared": 3}, "shared: 3 is not of type 'object'"),
        ({"shared": {"sideband": {"flow": 3}}}, "shared.sideband.flow: 3 is not a mapping"),
    ],
)
def test_searches_that_cannot_be_made(own: Table, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    given = {"window": (3300, 3700), "folder": tmp_path / "kept", **changes}
    with pytest.raises(BadInput, match=words) as refused:
        Search(own["mass"], features(own), **given)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "kept").exists()


def test_a_temporary_folder_lives_as_long_as_a_fit(own: Table, tmp_path: Path) -> None:
    fit = Search(own["mass"], features(own), (3300, 3700), simulation=(own["mass"], features(own)), **TINY).fit("cwola")
    assert "salad" in fit.search.methods
    folder = fit.search.folder
    gc.collect()
    assert fit.score({name: own[name][:3] for name in features(own)}).shape == (3,)
    del fit
    gc.collect()
    assert not folder.exists()
    Search(own["mass"], features(own), (3300, 3700), folder=tmp_path, **TINY)
    assert (tmp_path / "data.h5").exists()
    with pytest.raises(BadInput, match="is not empty; give a new one"):
        Search(own["mass"], features(own), (3300, 3700), folder=tmp_path)


def test_without_validation_an_excess_says_so() -> None:
    found = Excess(
        **asdict(metric.Excess(0.01, 120, 100.0, 5.0, metric.significance(120, 100.0, 5.0))), systematic=None, windows=0
    )
    assert str(found) == (
        "efficiency 0.01: 120 observed, 100.0 ± 5.0 expected, Z = 1.72, p = 0.042; statistical errors only"
    )


def test_the_package_alone_imports_no_stage() -> None:
    code = "import sys, sideband, sideband.infer; print([name for name in sys.modules if name in ('torch', 'onnx')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    import sideband

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sideband.nothing  # noqa: B018

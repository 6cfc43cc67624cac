import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sideband.benchmarks import problems
from sideband.benchmarks.events import sources
from sideband.benchmarks.grid import suite as suites
from sideband.infer.errors import BadInput
from tests.benchmarks.plain import SHIPPED, SHOWERS, written
from tests.conftest import OWN


@pytest.mark.parametrize("name", [name for name in suites.names() if name != "paper"])
def test_shipped_suites_load(name: str) -> None:
    suite = suites.load(name)
    assert suite.name == name
    assert list(suite.cells())
    assert suites.SUITES.joinpath(f"{name}.yaml").read_text().startswith("# ")


def test_the_paper_s_suite_stops_without_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "SUITES", tmp_path / "deep" / "suites")
    suites.SUITES.mkdir(parents=True)
    for name in ("paper.yaml", "schema.json"):
        (suites.SUITES / name).write_text((SHIPPED / name).read_text())
    with pytest.raises(BadInput, match=r"features\.h5: no such file .*`.* download` fetches"):
        suites.load("paper")
    for name in yaml.safe_load((SHIPPED / "paper.yaml").read_text())["dataset"].values():
        if name.endswith(".h5"):
            path = suites.SUITES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert suites.load("paper")["device"] == "cuda"


def test_shipped_suites_are_these() -> None:
    dijets = {"smoke", "quick", "continuous", "solver", "scan", "fullscan", "accept", "paper", "field", "foreign"}
    dijets |= {"distilled"} | {f"stress_{what}" for what in ("shifted", "noise", "signal", "simulation")}
    showers = {"smoke_showers", "calorimeter", "fullcalorimeter"}
    assert dijets | showers == set(suites.names())
    found = {name: problems.of(yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())) for name in suites.names()}
    assert {name for name, problem in found.items() if problem == "showers"} == showers
    scan = suites.load("scan")
    assert [sum(edges) / 2 for edges in scan.windows().values()] == pytest.approx(np.arange(3.1, 3.95, 0.1))
    assert len(scan.seeds("n0")) >= 5
    assert scan.folds == 5
    assert len(suites.load("accept")["seeds"]) >= 8
    assert set(suites.load("quick").injections()) == {"n430", "n0"}
    assert len(suites.load("field")["seeds"]) == 8
    assert 0 in suites.load("quick")["injections"]


def test_showers_have_neither_windows_nor_injections(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SHOWERS))
    suite = suites.load(path)
    assert (problems.of(suite.content), suite.labelled, suite.folds) == ("showers", True, 0)
    assert (suite.windows(), suite.injections()) == ({"showers": None}, {"n0": 0})
    assert suite.shared() == ["shower_classifier", "shower_flow"]
    assert [cell.folder for cell in suite.timed()] == ["showers/n0/s1/caloflow", "showers/n0/s1/shower_supervised"]
    suite.save(tmp_path / "suite.json")
    assert suites.load(tmp_path / "suite.json").content == suite.content


def test_the_digest_of_showers_in_files_follows_their_content(tmp_path: Path) -> None:
    section: dict[str, Any] = {"source": "shower_files", "decays": [{"file": "5.h5", "mass": 5, "lifetime": 1}]}
    section |= {"data": "g.h5", "test": "t.h5"}
    digests = []
    for folder, content in (("one", "a"), ("other", "a"), ("third", "b")):
        (tmp_path / folder).mkdir()
        for name in ("g.h5", "t.h5", "5.h5"):
            (tmp_path / folder / name).write_text(content)
        digests.append(sources.identity(section, tmp_path / folder))
    heavier = {**section, "decays": [{"file": "5.h5", "mass": 4, "lifetime": 1}]}
    assert digests[0] == digests[1] != digests[2]
    assert sources.identity(heavier, tmp_path / "one") != digests[0]


def test_defaults_and_names(tmp_path: Path) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml"))
    assert suite.name == "mine"
    assert suite["oversampling"] == 4
    assert suite["throughput"] == suites.THROUGHPUT
    assert list(suite.windows()) == ["3.3-3.7", "3.1-3.5"]
    assert suite.injections() == {"n0": 0, "n500": 500}
    assert suite.seeds() == {"s1": 1, "s2": 2}
    assert (suite.labelled, suite.folds) == (True, 0)
    assert suites.load(tmp_path / "mine.yaml", device="cuda")["device"] == "cuda"


def test_background_has_seeds_of_its_own(tmp_path: Path) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml", injections=[500, 0], background_seeds=[1, 2, 3]))
    assert suite.seeds() == suite.seeds("n500") == {"s1": 1, "s2": 2}
    assert suite.seeds("n0") == {"s1": 1, "s2": 2, "s3": 3}
    assert len(list(suite.cells())) == 2 * (2 + 3) * 2
    assert suite.recipe("3.3-3.7", "n0", "s3").seed == 3
    with pytest.raises(BadInput, match="seed 's3': not in suite mine; there are: s1, s2"):
        suite.recipe("3.3-3.7", "n500", "s3")


def test_a_method_may_come_more_than_once(tmp_path: Path) -> None:
    given = {"sigma@4": {"steps": 4}, "sigma@16": {"steps": 16}, "drapes_sb@0.5": {"noise": 0.5}}
    suite = suites.load(written(tmp_path / "mine.yaml", methods=given))
    assert suite.shared() == ["diffusion", "marginals", "marginals_all", "matching"]
    assert suites.load(written(tmp_path / "one.yaml", methods={"sigma_one": {}})).shared() == [
        "marginals_all",
        "matching",
        "matching_one",
    ]
    assert {name: suite.settings(name) for name in suite["methods"]} == given
    for name, line in (
        ("sigma@a b", "does not match"),
        ("sigma@", "does not match"),
        ("wrong@4", "unknown method 'wrong@4'"),
        ("matching@4", "a fit that methods share"),
    ):
        with pytest.raises(BadInput, match=line):
            suites.load(written(tmp_path / "mine.yaml", methods={name: {}}))


def test_every_method_with_a_classifier_comes_once_more_with_a_further_one(tmp_path: Path) -> None:
    given = {"cathode": {}, "drapes_sb@0.5": {"noise": 0.5}, "anode": {}, "iad": {}, "combined": {"of": ["cathode"]}}
    path = written(tmp_path / "mine.yaml", methods=given, classifiers={"mlp": {"kind": "mlp"}})
    suite = suites.load(path)
    further = ["cathode@mlp", "drapes_sb@0.5@mlp", "iad@mlp"]
    assert [name for name in suite["methods"] if suite.base(name)] == further
    assert set(suite["methods"]) == {*given, *further}
    assert suite.base("drapes_sb@0.5@mlp") == "drapes_sb@0.5"
    assert suite.settings("drapes_sb@0.5@mlp") == {"noise": 0.5}
    assert suite.classifier("iad@mlp") == {"kind": "mlp"}
    assert suite.stands_on("cathode@mlp") == {"cathode", "sideband"}
    suite.save(tmp_path / "suite.json")
    assert suites.load(tmp_path / "suite.json").content == suite.content
    with pytest.raises(BadInput, match="takes over the fit of 'cathode'; give the settings there"):
        suites.load(written(path, methods={"cathode": {}, "cathode@mlp": {"a": 1}}, classifiers={"mlp": {}}))


def test_methods_stand_on_others_above_them(tmp_path: Path) -> None:
    given = {
        "radot": {},
        "refined@radot": {"of": "radot"},
        "cathode": {},
        "mixed": {"of": ["cathode", "refined@radot"]},
    }
    suite = suites.load(written(tmp_path / "mine.yaml", methods=given))
    assert suite.needs("mixed") == ("cathode", "refined@radot")
    assert suite.stands_on("mixed") == {"cathode", "sideband", "refined@radot", "radot"}
    assert suite.leaves_rows("refined@radot")
    assert not suite.leaves_rows("cathode")
    for of, line in (
        ([], "must name other methods"),
        (["cathode", 1], "must name other methods"),
        (["sigma"], "'sigma' is no method above it"),
        (["mixed"], "'mixed' is no method above it"),
        (["anode"], "'anode' makes no template"),
    ):
        methods = {"cathode": {}, "anode": {}, "mixed": {"of": of}}
        with pytest.raises(BadInput, match=line):
            suites.load(written(tmp_path / "mine.yaml", methods=methods))
    with pytest.raises(BadInput, match="'anode' has no classifier of data against a template"):
        suites.load(written(tmp_path / "mine.yaml", methods={"anode": {}, "combined": {"of": "anode"}}))


def test_the_grid(tmp_path: Path) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml", shared={"sideband": {"flow": {}}}))
    cells = list(suite.cells())
    assert len(cells) == len(set(cells)) == 2 * 2 * 2 * 2
    assert cells[0].folder == "3.3-3.7/n0/s1/cathode"
    assert cells[0].task == "3.3-3.7/n0/s1"
    assert suite.shared() == ["sideband"]
    assert len(list(suite.cells(shared=True))) == 2 * 2 * 2 * 3
    assert [cell.folder for cell in suite.timed()] == ["3.3-3.7/n500/s1/cathode", "3.3-3.7/n500/s1/iad"]
    assert suite.settings("sideband") == {"flow": {}}
    assert suite.settings("iad") == {}


def test_recipes(tmp_path: Path) -> None:
    (tmp_path / "own.h5").touch()
    own = {
        "dataset": {"source": "hdf5", "data": "own.h5", "mass": {"column": "m"}, "features": ["x"]},
        "injections": ...,
        "methods": {"cwola": {}},
        "validation_windows": [[2.7, 3.0]],
        "data_events": 5000,
    }
    suite = suites.load(written(tmp_path / "mine.yaml", excess={"folds": 3}, **own))
    main = suite.recipe("3.3-3.7", "observed", "s2")
    assert (main.window, main.masked, main.injection, main.seed) == ((3.3, 3.7), None, None, 2)
    assert (main.data_events, main.oversampling, main.mass_range) == (5000, 4, (2.3, 5.0))
    assert suite.recipe("2.7-3", "observed", "s1").masked == (3.3, 3.7)
    assert suite.folds == 3
    assert suite["excess"]["efficiencies"] == suites.EXCESS["efficiencies"]
    labelled = suites.load(written(tmp_path / "other.yaml"))
    assert labelled.recipe("3.1-3.5", "n500", "s1").injection == 500


def test_round_trip(tmp_path: Path) -> None:
    suite = suites.load(written(tmp_path / "mine.yaml"))
    kept = tmp_path / "runs" / "mine" / "suite.json"
    suite.save(kept)
    assert suites.load(kept) == suite
    before = kept.stat().st_mtime_ns
    suite.save(kept)
    assert kept.stat().st_mtime_ns == before  # the grid would rerun on a new one
    suites.load(written(tmp_path / "mine.yaml", seeds=[1, 2, 3])).save(kept)
    assert json.loads(kept.read_text())["resolved"]["seeds"] == [1, 2, 3]


def test_a_kept_suite_is_checked_again(tmp_path: Path) -> None:
    kept = tmp_path / "suite.json"
    suites.load(written(tmp_path / "mine.yaml")).save(kept)
    whole = json.loads(kept.read_text())
    changed = {key: whole["resolved"] | {key: value} for key, value in (("seeds", [2.5]), ("windows", [[1, 2]]))}
    for content, said in (
        (whole | {"resolved": changed["seeds"]}, "seeds.0: 2.5 is not of type"),
        (whole | {"resolved": changed["windows"]}, "does not lie inside mass_range"),
        (whole | {"resolved": []}, r"the suite: \[\] is not of type 'object'"),
        (whole | {"name": "mlflow"}, "cannot name a suite"),
        (whole | {"name": 3}, "name, file: must be text"),
        ({"name": "mine"}, "'name' was unexpected"),
    ):
        kept.write_text(json.dumps(content))
        with pytest.raises(BadInput, match=said):
            suites.load(kept)
    kept.write_text(json.dumps(whole)[:-20])
    with pytest.raises(BadInput, match="not JSON that can be read"):
        suites.load(kept)
    del whole["resolved"]["oversampling"]  # a default
    kept.write_text(json.dumps(whole))
    assert suites.load(kept)["oversampling"] == 4


def test_a_kept_suite_does_not_need_its_data(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    own = {"dataset": OWN, "mass_range": [2000, 6000], "windows": [[3300, 3700]], "methods": {"cathode": {}}}
    toy_events(tmp_path / "own.h5", 500)
    suites.load(written(tmp_path / "mine.yaml", injections=..., **own)).save(tmp_path / "suite.json")
    (tmp_path / "own.h5").unlink()
    assert suites.load(tmp_path / "suite.json").windows() == {"3300-3700": (3300, 3700)}


def test_suites_differ_by_content_and_not_by_place(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    own = {"dataset": OWN, "mass_range": [2000, 6000], "windows": [[3300, 3700]], "methods": {"cathode": {}}}
    own["injections"] = ...
    kept, found = tmp_path / "suite.json", {}
    for place, events_of, changes in (
        ("here", 500, {}),
        ("there", 500, {}),
        ("edited", 500, {"seeds": [3], "closure_events": 200}),
        ("other", 501, {}),
    ):
        (tmp_path / place).mkdir()
        toy_events(tmp_path / place / "own.h5", events_of)
        found[place] = suites.load(written(tmp_path / place / "mine.yaml", **{**own, **changes}))
    found["here"].save(kept)
    origin = str(tmp_path / "here" / "mine.yaml")
    assert {place: suite.differing(kept) for place, suite in found.items()} == {
        "here": (origin, []),
        "there": (origin, []),
        "edited": (origin, ["seeds", "closure_events"]),
        "other": (origin, ["dataset"]),
    }
    told = json.loads(kept.read_text())  # as it was before it held where it came from
    kept.write_text(json.dumps({key: told[key] for key in ("name", "resolved")}))
    assert found["here"].differing(kept) == ("", [])
    assert found["there"].differing(kept) == ("", ["dataset"])


def test_suites_that_ship_are_called_by_name(tmp_path: Path) -> None:
    assert suites.load("smoke").file == suites.load(SHIPPED / "smoke.yaml").file == "smoke"
    path = written(tmp_path / "smoke.yaml")
    assert suites.load(path).file == str(path)


def test_paths_start_from_the_suite_s_folder(
    tmp_path: Path, toy_events: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    toy_events(tmp_path / "here" / "own.h5", 500)
    own = {
        "dataset": OWN,
        "mass_range": [2000, 6000],
        "windows": [[3300, 3700]],
        "injections": ...,
        "methods": {"cathode": {}},
    }
    suite = suites.load(written(tmp_path / "here" / "mine.yaml", **own))
    assert suite["dataset"]["data"] == str((tmp_path / "here" / "own.h5").resolve())
    monkeypatch.chdir(tmp_path)
    assert len(suite.dataset().data) == 500


def test_windows_have_names_of_their_own(tmp_path: Path) -> None:
    edges = [[3.3, 3.7], [3.3, 3.70001], [3.300001, 3.7], [-1.0, 2], [-2, -1], [0, 1e-05], [-0.0, 1]]
    suite = suites.load(written(tmp_path / "mine.yaml", windows=edges, mass_range=[-10, 10]))
    names = ["3.3-3.7", "3.3-3.70001", "3.300001-3.7", "-1-2", "-2--1", "0-1e-05", "0-1"]
    assert list(suite.windows()) == names
    assert [suite.recipe(name, "n0", "s1").window for name in names] == [tuple(pair) for pair in edges]
    wide = written(tmp_path / "wide.yaml", windows=[[3_000_000, 4_000_000]], mass_range=[0, 10_000_000])
    assert list(suites.load(wide).windows()) == ["3000000-4000000"]


def test_a_fit_for_every_window_stands_in_the_first(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    content = yaml.safe_load((SHIPPED / "smoke.yaml").read_text())
    path.write_text(
        yaml.safe_dump(content | {"windows": [[3.3, 3.7], [3.0, 3.4]], "methods": {"sigma": {}, "cathode": {}}})
    )
    cells = [cell.folder for cell in suites.load(path).cells(shared=True)]
    assert [cell for cell in cells if cell.endswith("matching")] == ["3.3-3.7/n300/s1/matching"]
    assert len([cell for cell in cells if cell.endswith("sideband")]) == 2

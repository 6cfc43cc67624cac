"""Mistakes in suites: each is refused in one line that names its place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sideband.benchmarks import problems
from sideband.benchmarks.grid import suite as suites
from sideband.infer.errors import BadInput
from tests.benchmarks.plain import SHOWERS, written
from tests.conftest import OWN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": [[3.3, 3.7]]}, "'window' was unexpected"),
        ({"seeds": ...}, "'seeds' is a required property"),
        ({"seeds": [1, "two"]}, r"seeds\.1: 'two' is not of type 'integer'"),
        ({"seeds": [1, 1]}, "seeds: .*non-unique"),
        ({"injections": [-1]}, r"injections\.0: -1 is less than the minimum"),
        ({"injections": []}, r"injections: \[\]"),
        ({"windows": [[3.3]]}, r"windows\.0: "),
        ({"throughput": {"second": 1}}, "throughput: .*'second' was unexpected"),
        ({"methods": {}}, "methods: "),
        ({"methods": {"cathod": {}}}, "unknown method 'cathod'"),
        ({"methods": {"sideband": {}}}, r"methods\.sideband: .*its settings go to 'shared'"),
        ({"shared": {"iad": {}}}, r"shared\.iad: a method, not a shared fit"),
        ({"methods": {"cathode": 3}}, r"methods\.cathode: 3 is not of type"),
        ({"injections": ...}, r"methods\.iad: a reference that reads the truth"),
        ({"dataset": {"source": "cms"}}, "dataset.source is 'cms'; choose one of dijets, dimuons, events, hdf5, lhco"),
        ({"dataset": {"source": "dijets", "data": "a.h5"}}, "dataset: .*'data' was unexpected"),
        ({"dataset": {"source": "hdf5", "data": "a.h5"}}, "dataset: '(mass|features)' is a required property"),
        ({"dataset": {"source": "lhco", "data": "absent.h5"}}, r"absent\.h5: no such file \(the suite's"),
        ({"dataset": OWN | {"data": []}}, r"dataset\.data: \[\] should be non-empty"),
        ({"dataset": OWN | {"features": [{"column": "a/b"}]}}, r"dataset\.features\.0\.column: 'a/b' does not match"),
        ({"dataset": OWN | {"features": [{"name": "a"}]}}, r"dataset\.features\.0: .*'name' was unexpected"),
        ({"dataset": OWN | {"mass": {"column": "row"}}}, "'row' is no name for a mass, .*; rename it, as with expr"),
        ({"dataset": {}}, "dataset: 'source' is a required property"),
        ({"windows": [[2.2, 3.0]]}, r"window \[2.2, 3.0\] does not lie inside mass_range \[2.3, 5.0\]"),
        ({"windows": [[4.0, 5.0]]}, r"window \[4.0, 5.0\] does not lie inside mass_range"),
        ({"windows": [[3.7, 3.3]]}, r"window \[3.7, 3.3\] does not lie inside mass_range"),
        ({"mass_range": [5.0, 2.3]}, r"mass_range \[5.0, 2.3\]: the lower edge comes first"),
        ({"mass_range": [-1e31, 5.0]}, r"mass_range\.0: -1e\+31 is less than the minimum"),
        ({"windows": [[3.3, 3.7], [3.3, 3.7]]}, r"window \[3.3, 3.7\] is there twice"),
        ({"windows": [[3.3, 3.7], [3.3, 3.7000000001]]}, r"window \[3.3, 3.7000000001\] is there twice"),
        ({"windows": [[3.3, 3.7]], "validation_windows": [[3.3, 3.7]]}, r"window \[3.3, 3.7\] is there twice"),
        (
            {"windows": [[3.3, 3.7], [4.0, 4.4]], "validation_windows": [[2.7, 3.3], [4.3, 4.6]]},
            r"validation window \[4.3, 4.6\] overlaps the signal region \[4.0, 4.4\]",
        ),
        ({"seeds": [2**63]}, r"seeds\.0: 9223372036854775808 is greater than the maximum"),
        ({"seeds": [-1]}, r"seeds\.0: -1 is less than the minimum of 0"),
        ({"seeds": [1.0]}, r"seeds\.0: 1.0 is not of type 'integer'"),
        ({"seeds": [True]}, r"seeds\.0: True is not of type 'integer'"),
        ({"seeds": list(range(2000))}, "seeds: .* is too long"),
        ({"seeds": [1, "two"] * 400}, r"seeds\.1: 'two' is not of type 'integer'"),
        ({"injections": [20.0]}, r"injections\.0: 20.0 is not of type 'integer'"),
        ({"data_events": 3000.0}, r"data_events: 3000.0 is not of type 'integer'"),
        ({"oversampling": 1_000_000}, "oversampling: 1000000 is greater than the maximum of 1000"),
        ({"closure_events": 99}, "closure_events: 99 is less than the minimum"),
        ({"excess": {"folds": 1}}, r"excess\.folds: 1 is less than the minimum"),
        ({"excess": {"efficiencies": [1]}}, r"excess\.efficiencies\.0: 1 is greater than or equal to the maximum"),
        ({"excess": {"efficiencies": []}}, r"excess\.efficiencies: \[\]"),
        ({"throughput": {"seconds": 0}}, r"throughput\.seconds: 0 is less than or equal"),
        ({"throughput": {"batches": [10**9]}}, r"throughput\.batches\.0: 1000000000 is greater"),
        ({"budget": {"fit_": -1}}, r"budget\.fit_: -1 is less than the minimum"),
        ({"methods": {"cathode@é": {}}}, "'cathode@é' does not match"),
        ({"methods": {"cathode@" + "a" * 61: {}}}, "does not match"),
        ({"shared": {"side band": {}}}, "'side band' does not match"),
        ({"dataset": {"source": "dijets", "features": [1]}}, r"dataset\.features\.0: 1 is not of type 'string'"),
        ({"dataset": {"source": "dijets", "features": [""]}}, r"dataset\.features\.0: '' does not match"),
        ({"dataset": {"source": "dijets", "features": ["a/b"]}}, r"dataset\.features\.0: 'a/b' does not match"),
        ({"dataset": {"source": "dijets", "features": ["a\n"]}}, r"dataset\.features\.0: 'a\\n' does not match"),
        ({"dataset": {"source": "dijets", "features": ["label"]}}, "'label' is no name for a mass or a feature"),
        ({"dataset": {"source": "dijets", "features": ["weight"]}}, "'weight' is no name for a mass or a feature"),
        ({"dataset": {"source": []}}, r"dataset.source is '\[\]'; choose one of dijets"),
        ({"validation_windows": [[5.0, 6.0]]}, r"window \[5.0, 6.0\] does not lie inside mass_range"),
        ({"device": "tpu"}, "device: 'tpu' is not one of"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = written(tmp_path / "mine.yaml", **changes)
    with pytest.raises(BadInput, match=message):
        suites.load(path)


@pytest.mark.parametrize("name", [".yaml", ".hidden.yaml", "-x.yaml", "mlflow.yaml", "a\nb.yaml", "é" * 51 + ".yaml"])
def test_names_that_are_no_folder_s_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="rename the file"):
        suites.load(written(tmp_path / name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": [[3.3, 3.7]]}, "windows: a key for dijets, and the suite's events are showers; remove it"),
        ({"injections": [500]}, "injections: a key for dijets, and the suite's events are showers"),
        ({"excess": {}}, "excess: a key for dijets, and the suite's events are showers"),
        ({"methods": {"cathode": {}}}, "methods.cathode: a method for dijets, and the suite's events are showers"),
        ({"dataset": {"source": "showers", "photons": 10}}, "dataset.photons: 10 is less than the minimum of 1000"),
        ({"dataset": {"source": "showers", "masses": [-1]}}, "dataset.masses.0: -1 is less than or equal to"),
        (
            {
                "dataset": {
                    "source": "shower_files",
                    "data": "g.h5",
                    "test": "g.h5",
                    "decays": [{"file": "x", "mass": 5, "depth": 1}],
                }
            },
            "g.h5: no such file",
        ),
    ],
)
def test_mistakes_in_suites_of_showers(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SHOWERS | changes))
    with pytest.raises(BadInput) as refused:
        suites.load(path)
    assert message in str(refused.value)


def test_dijets_need_a_window_and_no_method_for_showers(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'windows' is missing"):
        suites.load(written(tmp_path / "mine.yaml", windows=...))
    with pytest.raises(BadInput, match=r"methods\.caloflow: a method for showers, and the suite's events are dijets"):
        suites.load(written(tmp_path / "mine.yaml", methods={"caloflow": {}}))


def test_the_problem_follows_from_the_events_or_is_said(tmp_path: Path) -> None:
    for given in (..., "search"):
        suite = suites.load(written(tmp_path / "mine.yaml", problem=given))
        assert suite.problem is problems.named("search")
    with pytest.raises(
        BadInput, match=r"problem: 'showers' needs events from showers or shower_files, and .* 'dijets'"
    ):
        suites.load(written(tmp_path / "mine.yaml", problem="showers"))
    with pytest.raises(BadInput, match="problem: 'ping' is not one of"):
        suites.load(written(tmp_path / "mine.yaml", problem="ping"))


def test_methods_that_read_simulation_need_some(tmp_path: Path, toy_events: Callable[..., Path]) -> None:
    for name in ("own", "simulated"):
        toy_events(tmp_path / f"{name}.h5", 500)
    content: dict[str, Any] = {"mass_range": [2000, 6000], "windows": [[3300, 3700]], "injections": ...}
    content["methods"] = {"drapes_mc@1": {"noise": 1.0}}
    with pytest.raises(BadInput, match=r"methods\.drapes_mc@1: needs simulated background; give it as dataset.simul"):
        suites.load(written(tmp_path / "mine.yaml", dataset=OWN, **content))
    dataset = OWN | {"simulation": "simulated.h5"}
    assert list(suites.load(written(tmp_path / "mine.yaml", dataset=dataset, **content)).cells())


def test_what_is_no_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"suite 'slow': no such file, and none of accept, .*quick"):
        suites.load("slow")
    path = tmp_path / "mine.yaml"
    for text in ("a: [1", "- 1\n- 2\n", "just text", ""):
        path.write_text(text)
        with pytest.raises(BadInput):
            suites.load(path)

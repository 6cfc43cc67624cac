"""What `record` brings together for MLflow; how a journal is sent is tested with the store, in tests/train."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.metrics.excess import relative, significance
from sideband.benchmarks.report import ledger, results
from sideband.benchmarks.tracking import store as tracking
from sideband.benchmarks.tracking.journal import JOURNAL, Record, read_journal
from sideband.benchmarks.tracking.runs import GRID
from tests.conftest import NewStore
from tests.infer import graphs

Run = tuple[Suite, Path]

WRITERS = {"template": graphs.template, "score": graphs.score}
VERSIONS = {"python": "3.11.7", "numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime-gpu": "1.31.1"}
PLACE = "3.3-3.7/n600/s1"
ALIAS = "toy_3_3_3_7_n600_s1"


def values(folder: Path) -> dict[str, float]:
    """The last value of every metric in a cell's journal."""
    lines = [line for line in read_journal(folder / JOURNAL) if line["kind"] == "metrics"]
    return {key: value for line in lines for key, value in line["values"].items()}


def journalled(run: Run, folder: Path) -> Run:
    """A copy of a finished run, with journals and graphs."""
    suite, folder = run[0], folder / "toy"
    shutil.copytree(run[1], folder)
    for cell in suite.cells(shared=True):
        place = folder / cell.folder
        told = {"suite": suite.name, **vars(cell), "settings": {"width": 8}, "classifier": {"kind": "trees"}}
        record = Record(place, {**told, "dataset": "toy events", "dataset_sha256": "0" * 64})
        record.tags({"device": "cpu"})
        record.metrics({"sideband.loss_0": 1.0})
        vectors: dict[str, Any] = {}
        for role in catalogue.get(cell.method).roles:
            path = WRITERS[role](place / f"{role}.onnx", method=cell.method, versions=VERSIONS)
            with np.load(graphs.check_vectors(path)) as found:
                vectors |= found
        np.savez(place / "check.npz", **vectors)
    return suite, folder


@pytest.fixture
def unlabelled(unlabelled_run: Run, tmp_path: Path) -> Run:
    return journalled(unlabelled_run, tmp_path)


@pytest.fixture
def labelled(labelled_run: Run, tmp_path: Path) -> Run:
    return journalled(labelled_run, tmp_path)


@pytest.fixture
def changed(labelled: Run, new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The labelled run in a store, for tests that change it; a client of that store."""
    uri = new_store()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert ledger.record(labelled[1], labelled[1].parent) == 0
    return tracking.client(uri)


@pytest.fixture(scope="module")
def recorded(labelled_run: Run, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The labelled run in a store, for tests that only look; a client of that store, which is MLflow's own by then."""
    _, folder = journalled(labelled_run, tmp_path_factory.mktemp("recorded"))
    store = shutil.copy(empty_store, folder.parent / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
        assert ledger.record(folder, folder.parent) == 0
        yield tracking.client(f"sqlite:///{store}")


def by_name(store: Any, suite: str = "toy") -> dict[str, Any]:
    """The runs of a suite by their names."""
    found = store.search_runs([store.get_experiment_by_name(suite).experiment_id])
    runs = {run.info.run_name: run for run in found}
    assert len(runs) == len(found)
    return runs


def test_numbers_of_several_cells_are_recorded_with_the_cell_that_they_are_of(
    unlabelled: Run, command: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """δ_sys of a signal region comes from other cells, those of the validation window."""

    def unreachable(uri: str) -> None:
        raise ConnectionError("no store")

    monkeypatch.setattr(ledger, "migrate", unreachable)
    suite, folder = unlabelled
    command("benchmarks", "record", folder, "--runs", folder.parent)
    region = values(folder / "3300-3700/observed/s1/cathode")
    delta = region["systematic_1e-2"]
    assert delta == pytest.approx(relative(12, 10, 2)[1])  # 12 for 10 there: too few to resolve a fifth
    assert region["systematic_1e-3"] == pytest.approx(relative(2, 1, 0.5)[1])
    assert region["z_with_systematic_1e-2"] == pytest.approx(significance(12, 10, 2, delta, 1))
    assert region["z_direct_1e-2"] == 1.5
    assert not any(name.startswith("systematic") for name in values(folder / "2700-3100/observed/s1/cathode"))
    for cell in suite.cells(shared=True):  # every number of results.csv is there
        found = results.gather(suite, folder).numbers
        for key, each in vars(cell).items():
            found = found[found[key] == each]
        there = found[found["value"].notna()].set_index("metric")["value"].to_dict()
        assert there.items() <= values(folder / cell.folder).items()
        assert "fit_seconds" in there


def test_cells_stand_beneath_their_task_and_tasks_beneath_the_suite(recorded: Any) -> None:
    runs = by_name(recorded)
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in runs.items()}
    names = {run.info.run_id: name for name, run in runs.items()}
    cells = [f"{method} 3.3-3.7 n600 s1" for method in ("cathode", "anode", "iad", "sideband")]
    above = {name: names.get(parent) for name, parent in parents.items()}
    assert above == {"toy": None, "3.3-3.7 n600 s1": "toy", **dict.fromkeys(cells, "3.3-3.7 n600 s1")}
    kinds = {name.partition(" ")[0]: run.data.tags["kind"] for name, run in runs.items()}
    assert kinds == {
        "toy": "suite",
        "3.3-3.7": "task",
        **dict.fromkeys(("cathode", "anode", "iad"), "method"),
        "sideband": "shared",
    }
    assert all(run.info.status == "FINISHED" and run.info.end_time for run in runs.values())
    assert "arXiv:2109.00546" in runs[cells[0]].data.tags["mlflow.note.content"]
    assert f"models:/cathode-template@{ALIAS}" in runs[cells[0]].data.tags["mlflow.note.content"]


def test_an_experiment_says_what_it_is_and_has_a_view_of_its_methods(recorded: Any) -> None:
    tags = recorded.get_experiment_by_name("toy").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "made-up numbers" in tags["mlflow.note.content"]
    first, *_ = tags["mlflow.note.content"].splitlines()  # all that MLflow shows of it at first
    table = f"#/experiments/{recorded.get_experiment_by_name('toy').experiment_id}/runs?workflowType=machine_learning"
    assert f"[Runs]({table}) · [Methods]({table}&viewStateShareKey=methods)" in first
    state = json.loads(json.loads(tags["mlflow.sharedViewState.methods"])["state"])
    names = {name for run in by_name(recorded).values() for name in run.data.metrics}
    columns = {column.removeprefix("metrics.").strip("`") for column in state["selectedColumns"]}
    assert columns <= names
    assert {"sic_at_1e-3", "closure_auc", "template_events_per_second", "fit_cpu_seconds"} <= columns
    experiment = recorded.get_experiment_by_name("toy").experiment_id
    chosen = recorded.search_runs([experiment], state["searchFilter"], order_by=[f"{state['orderByKey']} DESC"])
    assert [run.data.tags["method"] for run in chosen] == ["iad", "cathode", "anode"]


def test_params_are_few_and_numbers_say_what_they_are(recorded: Any) -> None:
    run = by_name(recorded)["cathode 3.3-3.7 n600 s1"]
    assert run.data.params.keys() == {*GRID, "device", "classifier"}
    found = run.data.metrics
    assert found["sic_at_1e-3"] == 6.0
    assert found["ratio_to_idealised_at_1e-3"] == 6 / 8
    assert found["template_events_per_second"] == pytest.approx(4e5)
    assert found["sculpting_chi2_per_ndof_2e-3"] == 6.0
    assert found["sideband.loss_0"] == 1.0
    assert not {"sic_1e-3", "auc"} & found.keys()
    assert not any(name.startswith(("throughput", "sculpting_0")) for name in found)


def test_numbers_of_an_excess_say_what_they_are(
    unlabelled: Run, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = new_store()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert ledger.record(unlabelled[1], unlabelled[1].parent) == 0
    found = by_name(tracking.client(uri), "own")["cathode 3300-3700 observed s1"].data.metrics
    assert found["z_direct_1e-2"] == 1.5
    assert (found["observed_1e-3"], found["expected_1e-3"]) == (2, 1)
    assert found["z_with_systematic_1e-2"] == pytest.approx(significance(12, 10, 2, found["systematic_1e-2"], 1))


def test_each_sample_has_a_number_of_its_own(labelled_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of decays of showers: results.csv tells them apart by a further column."""
    suite, folder = labelled_run
    cell = {"window": "3.3-3.7", "injection": "n600", "seed": "s1", "method": "anode", "metric": "shower_auc"}
    rows = [{**cell, "sample": f"5 GeV, {depth} m", "value": depth} for depth in (0.5, 1.0)]
    monkeypatch.setattr(ledger, "numbers_of_cells", lambda *given: rows)
    found = ledger._values(folder, suite)[Cell("3.3-3.7", "n600", "s1", "anode")]
    assert {name: found[name] for name in found if name.startswith("shower")} == {
        "shower_auc/5 GeV, 0.5 m": 0.5,
        "shower_auc/5 GeV, 1.0 m": 1.0,
    }


def test_the_report_lies_with_the_suite(labelled: Run, new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, uri = labelled[1], new_store()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (folder / "report").mkdir(exist_ok=True)  # other tests of the same run may have made it
    for text in ("one", "two"):  # also when it has changed since
        (folder / "report" / "index.html").write_text(text)
        ledger.record(folder, folder.parent)
        run_id = by_name(tracking.client(uri))["toy"].info.run_id
        kept = tracking.client(uri).download_artifacts(run_id, "report/index.html")
        assert Path(kept).read_text() == text


@pytest.mark.filterwarnings("ignore:.*AnyType")  # MLflow's own, as it is loaded
@pytest.mark.parametrize(("method", "role"), [("cathode", "template"), ("cathode", "score"), ("iad", "score")])
def test_models_open_in_mlflow_and_repeat_their_check_vectors(method: str, role: str, recorded: Any) -> None:
    import mlflow.onnx
    from mlflow.pyfunc import scoring_server

    address = f"models:/{method}-{role}@{ALIAS}"
    graph = mlflow.onnx.load_model(address)
    model = mlflow.pyfunc.load_model(address)
    assert [port.name for port in graph.graph.input] == model.metadata.get_input_schema().input_names()
    with np.load(Path(mlflow.artifacts.download_artifacts(address)) / "check.npz") as vectors:
        start = f"{role}.input."
        feeds = {name.removeprefix(start): vectors[name] for name in vectors if name.startswith(start)}
        (output,) = (name for name in vectors if name.startswith(f"{role}.output."))
        expected = vectors[output]
    made = model.predict(feeds)[output.rpartition(".")[2]]
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)
    asked = json.dumps({"inputs": {name: table.tolist() for name, table in feeds.items()}})
    answer = scoring_server.invocations(asked, "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    served = json.loads(answer.response)["predictions"][output.rpartition(".")[2]]
    np.testing.assert_allclose(served, expected, rtol=1e-5, atol=1e-5)
    example = model.input_example
    assert {name: np.shape(table) for name, table in example.items()} == {
        name: (5, table.shape[1]) for name, table in feeds.items()
    }
    needed = Path(mlflow.pyfunc.get_model_dependencies(address)).read_text().splitlines()
    assert needed == [f"mlflow=={mlflow.__version__}", "onnx==1.23.2", "onnxruntime==1.31.1", "numpy==2.4.6"]


def test_what_makes_a_model_of_a_graph_is_written_without_onnx(tmp_path: Path) -> None:
    """As in the image that records."""
    graphs.check_vectors(graphs.template(tmp_path / "template.onnx", method="cathode", versions=VERSIONS))
    code = f"""
import sys
from pathlib import Path

for name in ("onnx", "onnxruntime", "torch"):
    sys.modules[name] = None  # as if it were not installed
from sideband.benchmarks.tracking.models import Exported

Exported.read(Path({str(tmp_path)!r}), "template").save(Path({str(tmp_path)!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    told = yaml.safe_load((tmp_path / "MLmodel").read_text())
    assert told["flavors"].keys() == {"onnx", "python_function"}


def test_a_model_is_registered_once_and_again_when_its_graph_is_another(labelled: Run, changed: Any) -> None:
    folder = labelled[1]
    before = changed.get_model_version_by_alias("cathode-score", ALIAS)
    assert "x [TeV], y" in before.description
    assert "scores events" in changed.get_registered_model("cathode-score").description
    graphs.score(folder / PLACE / "cathode" / "score.onnx", 2.0, method="cathode", versions=VERSIONS)
    ledger.record(folder, folder.parent)
    (version,) = changed.search_model_versions("name = 'cathode-score'")
    assert version.version == before.version
    assert version.tags["sha256"] != before.tags["sha256"]


def test_a_store_that_is_up_to_date_is_not_written_to(
    labelled: Run, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = new_store()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    ledger.record(labelled[1], labelled[1].parent)
    database = Path(uri.removeprefix("sqlite:///"))
    before = database.read_bytes(), database.stat().st_mtime_ns
    ledger.record(labelled[1], labelled[1].parent)
    assert (database.read_bytes(), database.stat().st_mtime_ns) == before


def test_the_best_is_a_method_that_one_may_choose(labelled: Run, changed: Any) -> None:
    """The idealised detector has the highest SIC, and reads the truth."""
    aliased = {each.name for each in changed.search_registered_models() if "best-toy" in each.aliases}
    assert aliased == {"cathode-template", "cathode-score"}
    suite, folder = labelled
    found = {cell: {"sic_1e-3": 6.0 if cell.method == "anode" else 5.0} for cell in suite.cells()}
    assert ledger.best(suite, found) == Cell("3.3-3.7", "n600", "s1", "anode")
    record = json.loads((folder / PLACE / "anode" / "evaluation.json").read_text())
    record["sic"]["sic"] = 7.0
    (folder / PLACE / "anode" / "evaluation.json").write_text(json.dumps(record))
    ledger.record(folder, folder.parent)
    aliased = {each.name for each in changed.search_registered_models() if "best-toy" in each.aliases}
    assert aliased == {"anode-score"}


def test_without_labels_or_where_cells_are_missing_nothing_is_the_best(labelled: Run, unlabelled_run: Run) -> None:
    suite = labelled[0]
    assert ledger.best(unlabelled_run[0], {cell: {"z_direct_1e-2": 3.0} for cell in unlabelled_run[0].cells()}) is None
    assert ledger.best(suite, {cell: {"sic_1e-3": 9.0} for cell in suite.cells() if cell.method == "iad"}) is None


@pytest.mark.parametrize("damaged", ["score.onnx", "check.npz"])
def test_a_damaged_model_is_told_in_one_line(damaged: str, labelled: Run, command: Callable[..., Any]) -> None:
    path = labelled[1] / PLACE / "anode" / damaged
    path.write_bytes(path.read_bytes()[:-40])
    line = command("benchmarks", "record", labelled[1], "--runs", labelled[1].parent).refused()
    assert str(path) in line

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infer.errors import BadInput
from tests.train.conftest import CELL, FitOf
from train import ledger, tracking
from train.cell import fit_cell
from train.tracking import CURSOR, JOURNAL, Record, flat, live, push, read_journal, register

CLOSED = "http://127.0.0.1:9"

NewStore = Callable[[], str]


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables and nothing in them; making them takes seconds, so it is done once."""
    runs = tmp_path_factory.mktemp("store")
    tracking.migrate(tracking.tracking_uri(runs))
    return runs / "mlflow" / "local" / "mlflow.db"


@pytest.fixture
def new_store(tables: Path, tmp_path: Path) -> NewStore:
    """Puts an empty store in its place, over what was there."""

    def make() -> str:
        place = tmp_path / "mlflow" / "local"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(tables, place / "mlflow.db")
        return f"sqlite:///{place / 'mlflow.db'}"

    return make


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A cell's folder with a journal of two epochs and one file."""
    folder = tmp_path / "cell"
    record = Record(folder, CELL)
    record.metrics({"loss": 2.0, "validation": 2.5}, step=1)
    record.metrics({"loss": 1.0, "validation": 1.5}, step=2)
    record.tags({"device": "cpu"})
    (folder / "template.onnx").write_bytes(b"a graph")
    record.artifacts([folder / "template.onnx"], "template")
    return folder


def runs_of(uri: str) -> list[Any]:
    store = tracking.client(uri)
    found = store.get_experiment_by_name("test")
    return list(store.search_runs([found.experiment_id])) if found else []


def curve(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracking.client(uri).get_metric_history(run_id, key)]


def assert_complete(uri: str, run_id: str) -> None:
    (found,) = runs_of(uri)
    assert found.info.run_id == run_id
    assert curve(uri, run_id, "loss") == [(1, 2.0), (2, 1.0)]
    assert curve(uri, run_id, "validation") == [(1, 2.5), (2, 1.5)]
    assert found.data.params["settings.training.epochs"] == "2"
    assert found.data.tags["device"] == "cpu"
    assert found.data.tags["method"] == "toy"
    (data,) = found.inputs.dataset_inputs
    assert data.dataset.name == "toy events"
    assert [file.path for file in tracking.client(uri).list_artifacts(run_id, "template")] == ["template/template.onnx"]


# The journal


@pytest.mark.parametrize("torn", [1, 7, 30])
def test_a_torn_line_costs_only_itself(cell: Path, torn: int) -> None:
    path = cell / JOURNAL
    whole = path.read_bytes()
    Record.of(cell).metrics({"loss": 0.5}, step=3)
    path.write_bytes(path.read_bytes()[:-torn])
    record = Record.of(cell)
    record.metrics({"loss": 0.5}, step=3)
    record.metrics({"loss": 0.25}, step=4)
    assert path.read_bytes().startswith(whole)
    lines = list(read_journal(path))
    steps = {line["step"]: line["values"]["loss"] for line in lines if line["kind"] == "metrics"}
    assert steps == {1: 2.0, 2: 1.0, 3: 0.5, 4: 0.25}


def test_a_journal_torn_in_its_first_line_is_begun_anew(cell: Path) -> None:
    path = cell / JOURNAL
    path.write_bytes(path.read_bytes()[:20])
    Record(cell, CELL).metrics({"loss": 1.0})
    first, second = read_journal(path)
    assert (first["kind"], second["kind"]) == ("cell", "metrics")


def test_what_is_known_is_not_noted_twice(cell: Path) -> None:
    before = (cell / JOURNAL).read_bytes()
    record = Record(cell, CELL)
    record.metrics({"loss": 2.0}, step=1)
    record.artifacts([cell / "template.onnx"], "template")
    assert (cell / JOURNAL).read_bytes() == before
    (cell / "template.onnx").write_bytes(b"another graph")
    record.artifacts([cell / "template.onnx"], "template")
    assert (cell / JOURNAL).read_bytes() != before


def test_other_settings_begin_another_journal(cell: Path) -> None:
    identity = Record(cell, CELL).identity
    other = Record(cell, {**CELL, "settings": {"width": 9}})
    assert other.identity != identity
    (only,) = read_journal(cell / JOURNAL)
    assert only["identity"] == other.identity


def test_settings_become_flat_parameters() -> None:
    assert flat({"a": 1, "b": {"c": None, "d": {"e": 2}}}) == {"a": 1, "b.c": None, "b.d.e": 2}


# The store


def test_pushing_again_changes_nothing(cell: Path, new_store: NewStore) -> None:
    uri = new_store()
    run_id = push(cell, uri, final=True)
    assert_complete(uri, run_id)
    assert runs_of(uri)[0].info.status == "FINISHED"
    assert push(cell, uri, final=True) == run_id
    # Even when what was sent has been forgotten, as after a kill between sending and noting.
    (cell / CURSOR).unlink()
    assert push(cell, uri, final=True) == run_id
    assert_complete(uri, run_id)
    assert runs_of(uri)[0].info.status == "FINISHED"


def test_only_what_is_new_is_sent(cell: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = new_store()
    run_id = push(cell, uri)
    assert runs_of(uri)[0].info.status == "RUNNING"
    Record.of(cell).metrics({"loss": 0.5}, step=3)
    sent: list[Any] = []
    send = tracking._send
    monkeypatch.setattr(tracking, "_send", lambda *given: (sent.extend(given[-1]), send(*given)))
    assert push(cell, uri) == run_id
    assert [line["values"] for line in sent] == [{"loss": 0.5}]
    assert curve(uri, run_id, "loss") == [(1, 2.0), (2, 1.0), (3, 0.5)]


def test_a_run_made_by_a_push_that_was_killed_is_filled_up(
    cell: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies right after the run was made, before its parameters and its data set were sent."""
    from mlflow.tracking import MlflowClient

    uri = new_store()
    with monkeypatch.context() as patch:

        def killed(*given: Any, **named: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(MlflowClient, "log_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            push(cell, uri)
    assert_complete(uri, push(cell, uri))


def test_a_store_deleted_is_filled_anew(cell: Path, new_store: NewStore) -> None:
    first = push(cell, new_store(), final=True)
    uri = new_store()
    assert runs_of(uri) == []
    second = push(cell, uri, final=True)
    assert second != first
    assert_complete(uri, second)


def test_a_model_is_registered_once(cell: Path, new_store: NewStore) -> None:
    uri = new_store()
    run_id, store = push(cell, uri), tracking.client(uri)
    for _ in range(2):
        register(store, run_id, "toy", "template", "test-3.3-3.7-n0-s1", {"window": "3.3-3.7"})
    (version,) = store.search_model_versions("name = 'toy-template'")
    assert version.run_id == run_id
    aliased = store.get_model_version_by_alias("toy-template", "test_3_3_3_7_n0_s1")
    assert aliased.version == version.version
    assert Path(store.download_artifacts(run_id, "template/template.onnx")).read_bytes() == b"a graph"


# No store


def test_a_dead_server_does_not_stop_a_fit(
    small_task: Path, tmp_path: Path, new_store: NewStore, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cwola"
    fit_cell("cwola", small_task, out, {}, {"members": 1, "iterations": 3}, {}, suite="test", store=CLOSED)
    (said,) = capsys.readouterr().err.splitlines()
    for word in (CLOSED, "does not answer", "training goes on", str(out / JOURNAL)):
        assert word in said
    assert (out / "model.pt").exists()
    uri = new_store()
    push(out, uri, final=True)
    (run,) = runs_of(uri)
    assert run.data.metrics["fit_seconds"] == json.loads((out / "fit.json").read_text())["seconds"]
    assert run.data.tags["device"] == "cpu"
    assert run.data.params["classifier.members"] == "1"


@pytest.mark.parametrize("error", [ConnectionError("no route\nto host"), TimeoutError()])
def test_whatever_a_store_throws_the_block_ends_well(
    cell: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*given: Any) -> str:
        raise error

    monkeypatch.setattr(tracking, "push", fails)
    monkeypatch.setattr(tracking, "PUSH_SECONDS", 0.01)
    with live(cell, CLOSED):
        time.sleep(0.2)
    (said,) = capsys.readouterr().err.splitlines()  # once, however often it is tried
    assert "training goes on" in said


def test_a_record_of_a_folder_without_a_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"suite\.json"):
        ledger.record(tmp_path, tmp_path)


def test_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow/local/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking.tracking_uri(tmp_path) == "http://mlflow:5000"
    assert tracking.is_server("http://mlflow:5000")
    assert not tracking.is_server("sqlite:///mlflow.db")


def test_fits_are_journalled_as_they_go(fit_of: FitOf, small_task: Path, tmp_path: Path) -> None:
    folder = fit_of("sideband", small_task, tmp_path).parent
    lines = list(read_journal(folder / JOURNAL))
    epochs = [line["step"] for line in lines if line["kind"] == "metrics" and "sideband.loss_0" in line["values"]]
    assert epochs == [1, 2]
    assert lines[0]["settings"]["training"]["epochs"] == 2
    assert lines[0]["dataset_sha256"]

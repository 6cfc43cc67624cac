import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sideband.benchmarks.report import ledger
from sideband.benchmarks.tracking import store as tracking
from sideband.benchmarks.tracking.journal import JOURNAL, Record, read_journal
from sideband.benchmarks.tracking.runs import GRID, SETTINGS
from sideband.benchmarks.tracking.store import CURSOR, live, push
from sideband.infer.errors import BadInput
from sideband.train.cell import fit_cell
from tests.conftest import NewStore
from tests.train.conftest import CELL, FitOf
from tests.train.test_files import largest_file

HALF = 200_000  # bytes of a store with about half its tables
CLOSED = "http://127.0.0.1:9"


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A cell's folder with a journal of two looks and one file."""
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
    assert found.data.params == {**{key: CELL[key] for key in GRID}, "device": "cpu"}
    settings = Path(tracking.client(uri).download_artifacts(run_id, SETTINGS))
    assert json.loads(settings.read_text()) == CELL
    tags = {key: found.data.tags[key] for key in (*GRID, "device", "kind")}
    assert tags == {**{key: CELL[key] for key in GRID}, "device": "cpu", "kind": "method"}
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


@pytest.mark.parametrize(
    "line", ["", "{", "5", "[]", '{"kind": 3}', '{"kind": "metrics", "step": 1, "time": 1}', "[" * 100_000, "\xff"]
)
def test_a_damaged_line_costs_only_itself(line: str, cell: Path) -> None:
    path = cell / JOURNAL
    before = list(read_journal(path))
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first + b"\n" + line.encode("latin-1") + b"\n" + rest)
    assert list(read_journal(path)) == before
    Record.of(cell).metrics({"loss": 0.5}, step=3)
    assert list(read_journal(path))[:-1] == before


def test_a_journal_that_does_not_say_of_what_is_refused(cell: Path) -> None:
    lines = (cell / JOURNAL).read_bytes().splitlines(keepends=True)
    for content in (b"", b"".join(lines[1:])):
        (cell / JOURNAL).write_bytes(content)
        with pytest.raises(BadInput, match=f"{JOURNAL}: damaged"):
            Record.of(cell)


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
    before = (cell / JOURNAL).read_bytes()
    other.tags({"device": "cpu"})
    assert (cell / JOURNAL).read_bytes() == before  # until there is a number to note
    other.metrics({"loss": 3.0}, step=1)
    first, second, third = read_journal(cell / JOURNAL)
    assert first["identity"] == other.identity
    assert (second["kind"], third["values"]) == ("tags", {"loss": 3.0})


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


def test_a_run_of_an_earlier_layout_is_sent_again(cell: Path, new_store: NewStore) -> None:
    """Its cursor says that all is there, and its run lacks what is new."""
    uri = new_store()
    run_id = push(cell, uri, final=True)
    tracking.client(uri).delete_tag(run_id, "kind")
    Record.of(cell).metrics({"sic_1e-3": 2.0})
    told = json.loads((cell / CURSOR).read_text())
    told[uri] = {key: value for key, value in told[uri].items() if key in ("identity", "run_id", "final")}
    told[uri]["sent"] = 100
    (cell / CURSOR).write_text(json.dumps(told))
    assert push(cell, uri, final=True) == run_id
    assert_complete(uri, run_id)
    assert curve(uri, run_id, "sic_at_1e-3") == [(0, 2.0)]


def test_a_fit_on_another_device_is_another_run(cell: Path, new_store: NewStore) -> None:
    uri = new_store()
    first = push(cell, uri, final=True)
    record = Record.of(cell)
    record.tags({"device": "cuda"})
    record.metrics({"loss": 0.5}, step=3)
    second = push(cell, uri, final=True)
    assert {run.info.run_id: run.data.params["device"] for run in runs_of(uri)} == {first: "cpu", second: "cuda"}
    assert push(cell, uri, final=True) == second


def test_a_run_lasts_as_long_as_its_fit(cell: Path, new_store: NewStore) -> None:
    record = Record.of(cell)
    record.metrics({"fit_seconds": 3.0})
    fitted = list(read_journal(cell / JOURNAL))[-1]["time"]
    time.sleep(0.01)
    record.metrics({"max_sic": 3.0})
    uri = new_store()
    push(cell, uri, final=True)
    assert runs_of(uri)[0].info.end_time == fitted


def test_a_cursor_torn_by_a_kill_is_of_no_account(cell: Path, new_store: NewStore) -> None:
    uri = new_store()
    run_id = push(cell, uri, final=True)
    whole = (cell / CURSOR).read_text()
    for content in (whole[: len(whole) // 2], "", "[]", json.dumps({uri: {"run_id": run_id}})):
        (cell / CURSOR).write_text(content)
        assert push(cell, uri, final=True) == run_id
    assert_complete(uri, run_id)


# No store


@pytest.mark.parametrize("kind", ["noise", "folder", "in a file", "full"])
def test_a_store_that_cannot_be_is_told_in_one_line(kind: str, tmp_path: Path, command) -> None:
    path = tmp_path / "runs" / "mlflow" / "local" / "mlflow.db"
    if kind == "noise":
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no database" * 1000)
    elif kind == "folder":
        path.mkdir(parents=True)
    elif kind == "in a file":
        (tmp_path / "runs").touch()
    before = sorted(tmp_path.rglob("*"))
    with largest_file(8000 if kind == "full" else resource.RLIM_INFINITY):
        line = command("benchmarks", "migrate", "--runs", tmp_path / "runs").refused()
    assert str(path) in line
    assert "Background on this error" not in line
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_journal_there_is_nothing_to_push(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with live(tmp_path / "none", CLOSED):
        pass
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


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
    assert run.data.params["classifier"] == "trees"


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
    steps = [line["step"] for line in lines if line["kind"] == "metrics" and "sideband.loss_0" in line["values"]]
    assert steps == [10, 20]
    assert lines[0]["settings"]["training"]["steps"] == 20
    assert lines[0]["dataset_sha256"]


def half_made(file: Path) -> bool:
    with suppress(FileNotFoundError):  # SQLite's journals come and go
        return file.stat().st_size > HALF
    return False


def test_a_store_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    """Killed when some tables are there and others are not."""
    made = [sys.executable, "-m", "sideband.benchmarks", "migrate", "--runs", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    with subprocess.Popen(made, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None and not any(map(half_made, (tmp_path / "mlflow" / "local").glob("*mlflow.db*"))):
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(made, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    store = tracking.client(tracking.tracking_uri(tmp_path))
    assert [each.name for each in store.search_experiments()] == ["Default"]
    assert [path.name for path in (tmp_path / "mlflow" / "local").iterdir()] == ["mlflow.db"]


def test_a_figure_of_an_earlier_report_stops_nothing(cell: Path, new_store: NewStore) -> None:
    gone = cell / "sic.png"
    gone.write_bytes(b"a figure")
    Record.of(cell).artifacts([gone], "figures")
    gone.unlink()
    uri = new_store()
    run_id = push(cell, uri, final=True)
    assert not tracking.client(uri).list_artifacts(run_id, "figures")

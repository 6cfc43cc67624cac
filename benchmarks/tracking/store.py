"""The MLflow store: where it is, and how the journal of a cell gets there.

Numbers go there live where a server answers, later where none does. A store finds a cell's run again by the hash of
everything that defines the cell.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sideband.benchmarks.tracking import runs
from sideband.benchmarks.tracking.journal import JOURNAL, read_journal
from sideband.benchmarks.tracking.names import shown
from sideband.infer import events
from sideband.infer.errors import BadInput, in_one_line

CURSOR = "mlflow.json"
LAYOUT = 2  # of runs: their params and the names of their numbers; runs of another are sent again, from the beginning
PUSH_SECONDS = 5.0
LOCAL = "sqlite:///"  # what the address of a local store begins with

# A dead server must not delay a fit, but MLflow's defaults retry for minutes. Its messages are of no use here either.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


def tracking_uri(folder: Path) -> str:
    """MLFLOW_TRACKING_URI, or else the SQLite store in the folder of all results."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL}{(folder / 'mlflow' / 'local' / 'mlflow.db').resolve()}"


def is_server(uri: str) -> bool:
    """Whether the store is reached over the network."""
    return uri.startswith(("http://", "https://"))


def _database(uri: str) -> Path | None:
    """The file of a local store; None for stores of other kinds."""
    return Path(uri.removeprefix(LOCAL)) if uri.startswith(LOCAL) else None


def client(uri: str) -> Any:
    """An MLflow client for `uri` that gives up on a dead server within seconds.

    Raises:
        BadInput: the path of a local store is not a file; MLflow would retry for minutes.
    """
    path = _database(uri)
    if path is not None:
        events.check_output(path)
    for key, value in PATIENCE.items():
        os.environ.setdefault(key, value)
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def migrate(uri: str) -> None:
    """Make the store's tables, once and by one process, before many write to it.

    Raises:
        BadInput: they cannot be made, or the file there is not an MLflow store.
    """
    path = _database(uri)
    if path is None:
        return
    with events.writable(path):
        try:
            if not os.path.lexists(path):
                _make_tables(path)
            client(uri).search_experiments(max_results=1)
        except BadInput:
            raise
        except Exception as error:  # SQLAlchemy's, Alembic's and MLflow's own kinds, one per failure
            raise BadInput(
                f"{path}: MLflow cannot keep its tables there ({reason(error)}); "
                "free space, choose another --runs, or move the file away"
            ) from error


def _make_tables(path: Path) -> None:
    """Make a store's tables under another name first, so that a kill leaves no half-made store."""
    with events.atomic(path) as temporary:
        try:
            for left in path.parent.glob(f"{temporary.name}*"):
                left.unlink()
            client(f"{LOCAL}{temporary}").search_experiments(max_results=1)
        except BaseException:
            for left in path.parent.glob(f"{temporary.name}-*"):  # SQLite's own files beside it
                left.unlink(missing_ok=True)
            raise


def push(folder: Path, uri: str, final: bool = False) -> str:
    """Send the part of the journal in `folder` that the store does not have yet.

    Args:
        folder: the cell's folder.
        uri: the store.
        final: close the run as finished.

    Returns:
        The run's id.
    """
    with events.sole_writer(folder / CURSOR):
        lines = list(read_journal(folder / JOURNAL))
        cell = lines[0]
        cursors = _cursors(folder / CURSOR)
        cursor = cursors.get(uri, {})
        device = next((line["values"].get("device", "") for line in reversed(lines) if line["kind"] == "tags"), "")
        mine = {"identity": cell["identity"], "device": device, "layout": LAYOUT}
        store = client(uri)
        if not mine.items() <= cursor.items() or not _knows(store, cursor["run_id"]):
            cursor = {**mine, "run_id": _open_run(store, uri, cell, device), "sent": 0, "final": False}
        run_id: str = cursor["run_id"]
        if cursor["sent"] >= len(lines) and cursor["final"] >= final:
            return run_id
        _send(store, run_id, folder, lines[cursor["sent"] :])
        cursor["sent"] = len(lines)
        if final:
            store.set_terminated(run_id, "FINISHED", _end(lines))
            cursor["final"] = True
        (folder / CURSOR).write_text(json.dumps({**cursors, uri: cursor}))
        return run_id


def _end(lines: Sequence[Mapping[str, Any]]) -> int:
    """When the fit had ended; what later stages have noted since is no part of its duration."""
    fitted = (line["time"] for line in lines if line["kind"] == "metrics" and "fit_seconds" in line["values"])
    return int(next(fitted, lines[-1]["time"]))


def _cursors(path: Path) -> dict[str, dict[str, Any]]:
    """How far each store has got. A file torn by a kill counts as empty, because runs are found again by identity."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    keys = {"run_id", "sent", "final"}
    return {uri: each for uri, each in found.items() if each.keys() >= keys} if isinstance(found, dict) else {}


def _knows(store: Any, run_id: str) -> bool:
    """Whether a run still exists; somebody may have deleted the store and started another."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(store.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _open_run(store: Any, uri: str, cell: Mapping[str, Any], device: str) -> str:
    """The cell's run, in an experiment whose files lie beside a local store."""
    path, name = _database(uri), str(cell["suite"])
    location = None if path is None else str(path.parent / "artifacts" / name)
    return runs.open_cell(store, runs.experiment(store, name, location), cell, device)


def _send(store: Any, run_id: str, folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    from mlflow.entities import Metric, RunTag

    metrics, tags = [], []
    for line in lines:
        if line["kind"] == "metrics":
            metrics += [Metric(shown(key), value, line["time"], line["step"]) for key, value in line["values"].items()]
        elif line["kind"] == "tags":
            tags += [RunTag(key, value) for key, value in line["values"].items()]
        elif line["kind"] == "artifact" and (folder / line["path"]).is_file():  # a report's figures come and go
            store.log_artifact(run_id, str(folder / line["path"]), line["folder"] or None)
    for start in range(0, len(metrics), 1000):
        store.log_batch(run_id, metrics=metrics[start : start + 1000])
    if tags:
        store.log_batch(run_id, tags=tags)


def reason(error: Exception) -> str:
    """The message of an error on one line, without the query and the address that SQLAlchemy appends."""
    return re.split(r" \[SQL: | \(Background on ", in_one_line(error))[0]


@contextmanager
def live(folder: Path, uri: str | None) -> Iterator[None]:
    """Push the journal in `folder` every few seconds while the block runs, and at its end.

    A store that does not answer is reported once and never stops the block. The journal stays and is replayed later.
    """
    if uri is None:
        yield
        return
    ended = threading.Event()
    reported: list[str] = []

    def once() -> None:
        if not (folder / JOURNAL).exists():
            return
        try:
            push(folder, uri)
        except Exception as error:  # whatever MLflow or the network throws: the fit is worth more than its log
            if not reported:
                reported.append(reason(error))
                print(
                    f"MLflow at {uri} does not answer ({reported[0]}); training goes on, "
                    f"{folder / JOURNAL} is replayed later",
                    file=sys.stderr,
                    flush=True,
                )

    def loop() -> None:
        while not ended.wait(PUSH_SECONDS):
            once()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=60)
        once()

"""MLflow: one experiment a suite, one run a cell of the grid.

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

from sideband.benchmarks.tracking.journal import JOURNAL, read_journal
from sideband.infer import events
from sideband.infer.errors import BadInput, in_one_line

CURSOR = "mlflow.json"
PUSH_SECONDS = 5.0
LOCAL = "sqlite:///"  # what the address of a local store begins with

# A dead server must not delay a fit, but MLflow's defaults retry for minutes. Its messages are of no use here either.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


def tracking_uri(runs: Path) -> str:
    """MLFLOW_TRACKING_URI, or else the SQLite store under `runs`/mlflow."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL}{(runs / 'mlflow' / 'local' / 'mlflow.db').resolve()}"


def is_server(uri: str) -> bool:
    """Whether the store is reached over the network."""
    return uri.startswith(("http://", "https://"))


def _database(uri: str) -> Path | None:
    """The file of a local store; None for stores of other kinds."""
    return Path(uri.removeprefix(LOCAL)) if uri.startswith(LOCAL) else None


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted names."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


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
        if cursor.get("identity") != cell["identity"]:
            cursor = {"identity": cell["identity"], "run_id": None, "sent": 0, "final": False}
        store = client(uri)
        if cursor["run_id"] is None or not _knows(store, cursor["run_id"]):
            cursor |= {"run_id": _open_run(store, uri, cell), "sent": 0, "final": False}
        if cursor["sent"] >= len(lines) and cursor["final"] >= final:
            return str(cursor["run_id"])
        run_id: str = cursor["run_id"]
        _send(store, run_id, folder, lines[cursor["sent"] :])
        cursor["sent"] = len(lines)
        if final:
            store.set_terminated(run_id, "FINISHED", max(line["time"] for line in lines))
            cursor["final"] = True
        (folder / CURSOR).write_text(json.dumps({**cursors, uri: cursor}))
        return run_id


def _cursors(path: Path) -> dict[str, dict[str, Any]]:
    """How far each store has got. A file torn by a kill counts as empty, because runs are found again by identity."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    keys = {"identity", "run_id", "sent", "final"}
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


def _open_run(store: Any, uri: str, cell: Mapping[str, Any]) -> str:
    """The cell's run, found by its identity or created; reopened if it had ended."""
    from mlflow.entities import Dataset, DatasetInput, Param, RunTag

    name = str(cell["suite"])
    experiment = store.get_experiment_by_name(name)
    if experiment is None:
        path = _database(uri)
        place = None if path is None else str(path.parent / "artifacts" / name)
        experiment_id = store.create_experiment(name, artifact_location=place)
    else:
        experiment_id = experiment.experiment_id
    found = store.search_runs([experiment_id], f"tags.`sideband.cell` = '{cell['identity']}'", max_results=1)
    if found:
        run_id = str(found[0].info.run_id)
        store.update_run(run_id, status="RUNNING")
    else:
        keys = ("suite", "method", "window", "injection", "seed")
        title = f"{cell['method']} {cell['window']} {cell['injection']} {cell['seed']}"
        tags = {"sideband.cell": cell["identity"], "mlflow.runName": title, **{key: str(cell[key]) for key in keys}}
        run_id = str(store.create_run(experiment_id, start_time=cell["time"], tags=tags).info.run_id)
    # Again for a run that was found: whoever made it may have been killed before this.
    params = flat({key: value for key, value in cell.items() if key not in ("kind", "time", "identity")})
    store.log_batch(
        run_id, params=[Param(key, str(value)) for key, value in params.items()], tags=[RunTag("sideband.uri", uri)]
    )
    dataset = Dataset(str(cell["dataset"])[:500], str(cell["dataset_sha256"])[:36], "sideband", str(cell["dataset"]))
    store.log_inputs(run_id, [DatasetInput(dataset)])
    return run_id


def _send(store: Any, run_id: str, folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    from mlflow.entities import Metric, RunTag

    metrics, tags = [], []
    for line in lines:
        if line["kind"] == "metrics":
            metrics += [Metric(key, value, line["time"], line["step"]) for key, value in line["values"].items()]
        elif line["kind"] == "tags":
            tags += [RunTag(key, value) for key, value in line["values"].items()]
        elif line["kind"] == "artifact":
            store.log_artifact(run_id, str(folder / line["path"]), line["folder"] or None)
    for start in range(0, len(metrics), 1000):
        store.log_batch(run_id, metrics=metrics[start : start + 1000])
    if tags:
        store.log_batch(run_id, tags=tags)


def register(store: Any, run_id: str, method: str, role: str, alias: str, tags: Mapping[str, str]) -> None:
    """Register a run's exported file under its method and role, once, with an alias for its cell."""
    name = f"{method}-{role}"
    if not store.search_registered_models(f"name = '{name}'"):
        store.create_registered_model(name, description=f"The {role} of {method}, ONNX, as exported by Sideband")
    versions = store.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    if versions:
        version = versions[0].version
    else:
        source = f"{store.get_run(run_id).info.artifact_uri}/{role}"
        version = store.create_model_version(name, source, run_id, tags=dict(tags), await_creation_for=0).version
    store.set_registered_model_alias(name, re.sub(r"\W+", "_", alias), version)


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

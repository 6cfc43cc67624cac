"""The runs of an experiment: a suite's own, beneath it one a task, beneath these one a cell, each found by its tag."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sideband.benchmarks import catalogue

CELL, PLACE = "sideband.cell", "sideband.place"  # tags: the identity of a cell; where in the grid a parent stands
KIND = "kind"  # tag: "method", "shared", "task" or "suite"
NOTE, NAME, PARENT = "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId"
# Training, not GenAI. The pages of MLflow 3.17 do not ask: only the address or the browser's memory says so there.
EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
TRAINING = "workflowType=machine_learning"
VIEW = "methods"  # a saved view of the experiment's page: methods alone, the highest SIC first
SIC = "sic_at_1e-3"
SHOWN = (
    *(SIC, "max_sic", "ratio_to_idealised_at_1e-3", "z_with_systematic_1e-3", "z_direct_1e-3"),
    *("closure_auc", "template_events_per_second", "score_events_per_second", "fit_cpu_seconds"),
)

GRID = ("suite", "method", "window", "injection", "seed")
SETTINGS = "settings.json"
NO_SETTING = ("kind", "time", "identity")  # of a journal's first line


def experiment(store: Any, name: str, location: str | None) -> str:
    """The id of the experiment of a suite, which is made where there is none; `location` is for its files."""
    found = store.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(store.create_experiment(name, artifact_location=location, tags=EXPERIMENT))


def views(measured: Collection[str], time: int) -> dict[str, str]:
    """The saved view of an experiment, as the tag that MLflow's page keeps it in.

    Args:
        measured: the names of numbers that there are.
        time: when the view was saved, in milliseconds.
    """
    metrics = [f"metrics.`{name}`" for name in SHOWN if name in measured]
    state = {
        "searchFilter": f"tags.{KIND} = 'method'",
        "orderByKey": f"metrics.`{SIC}`" if SIC in measured else "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": metrics,
        "columnOrder": metrics,
    }
    view = {"name": "Methods", "createdAt": time, "updatedAt": time, "state": json.dumps(state)}
    return {f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}


def params(cell: Mapping[str, Any], device: str) -> dict[str, str]:
    """The few settings that runs are told apart by; all of them lie in settings.json.

    Args:
        cell: the first line of a journal.
        device: where it was fitted, "" where no one knows.
    """
    entry = catalogue.get(cell["method"])
    own = cell.get("settings", {})
    found = {
        **{key: cell[key] for key in (*GRID, "oversampling", "folds") if key in cell},
        "device": device,
        "classifier": "" if entry.shared or entry.own_score else cell.get("classifier", {}).get("kind", ""),
        "variant": ", ".join(f"{key} = {own[key]}" for key in entry.preset if key in own),
    }
    return {key: str(value) for key, value in found.items() if value != ""}


def open_cell(store: Any, experiment_id: str, cell: Mapping[str, Any], device: str) -> str:
    """The run of a cell on a device, found again and reopened, or created.

    Params never change, so a fit on another device is another run.
    """
    from mlflow.entities import Dataset, DatasetInput, Param

    wanted = f"tags.`{CELL}` = '{cell['identity']}'" + (f" and tags.device = '{device}'" if device else "")
    kind = "shared" if catalogue.get(cell["method"]).shared else "method"
    tags = {CELL: cell["identity"], NAME: " ".join(str(cell[key]) for key in GRID[1:]), KIND: kind}
    tags |= {**({"device": device} if device else {}), **{key: str(cell[key]) for key in GRID}}
    found = store.search_runs([experiment_id], wanted, max_results=1)
    if found:
        run_id = str(found[0].info.run_id)
        store.update_run(run_id, status="RUNNING")
        tag(store, run_id, tags)
    else:
        run_id = str(store.create_run(experiment_id, start_time=cell["time"], tags=tags).info.run_id)
    # Again for a run that was found: whoever made it may have been killed before this.
    store.log_batch(run_id, params=[Param(key, value) for key, value in params(cell, device).items()])
    store.log_dict(run_id, {key: value for key, value in cell.items() if key not in NO_SETTING}, SETTINGS)
    dataset = Dataset(str(cell["dataset"])[:500], str(cell["dataset_sha256"])[:36], "sideband", str(cell["dataset"]))
    store.log_inputs(run_id, [DatasetInput(dataset)])
    return run_id


def open_parent(store: Any, experiment_id: str, place: str, start: int, tags: Mapping[str, str]) -> str:
    """The run of a suite or a task, found by its place or created, with its tags brought up to date."""
    found = store.search_runs([experiment_id], f"tags.`{PLACE}` = '{place}'", max_results=1)
    run = found[0] if found else store.create_run(experiment_id, start_time=start, tags={PLACE: place, **tags})
    tag(store, run.info.run_id, tags)
    return str(run.info.run_id)


def tag(store: Any, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run."""
    from mlflow.entities import RunTag

    store.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

"""check_smoke.py FOLDER URI: what a finished run of a suite must have left, in its folder and on the MLflow server."""

import sys
from pathlib import Path

from mlflow.tracking import MlflowClient

from sideband.benchmarks import catalogue
from sideband.benchmarks.grid import suite

folder, client = Path(sys.argv[1]), MlflowClient(sys.argv[2])
the_suite = suite.load(folder / "suite.json")

for name in ("report/index.html", "report/results.csv"):
    assert (folder / name).stat().st_size, name
for cell in the_suite.cells():
    assert (folder / cell.folder / "evaluation.json").is_file(), cell

owner = Path().stat()
foreign = [
    path for path in Path("runs").rglob("*") if path.stat().st_uid != owner.st_uid or path.stat().st_gid != owner.st_gid
]
assert not foreign, f"not the caller's: {foreign[:5]}"

cells = {(cell.method, cell.window, cell.injection, cell.seed) for cell in the_suite.cells(shared=True)}
experiment = client.get_experiment_by_name(the_suite.name)
everything = client.search_runs([experiment.experiment_id], max_results=10_000)
runs = [run for run in everything if run.data.tags["kind"] in ("method", "shared")]
found = [tuple(run.data.tags[key] for key in ("method", "window", "injection", "seed")) for run in runs]
assert sorted(found) == sorted(cells), f"runs {found} for cells {cells}"
assert {run.info.status for run in everything} == {"FINISHED"}
kinds = {run.info.run_id: run.data.tags["kind"] for run in everything}
assert {kinds[run.data.tags["mlflow.parentRunId"]] for run in runs} == {"task"}

for run in runs:
    for role in catalogue.get(run.data.tags["method"]).roles:
        stored = [file.path for file in client.list_artifacts(run.info.run_id, role)]
        assert f"{role}/{role}.onnx" in stored, f"{run.info.run_name}: {role} has {stored}"
        name = f"{run.data.tags['method']}-{role}"
        versions = client.search_model_versions(f"name = '{name}' and run_id = '{run.info.run_id}'")
        assert len(versions) == 1, f"{name}: {len(versions)} versions"

print(f"{len(cells)} cells, {len(runs)} finished runs, all of uid {owner.st_uid}")

"""Exported files as models of MLflow: what `mlflow.onnx` would save, written where there is no onnx.

The graph and its check vectors lie with the run already, in a folder of the role's name. What makes a model of that
folder goes beside them: MLmodel, requirements, an input example.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sideband.benchmarks.tracking import graph, notes
from sideband.infer import events, metadata
from sideband.infer.errors import BadInput

LAYOUT = "1"  # of what lies beside a graph; a version of another, or of another graph, is written again
DIGEST, WRITTEN = "sha256", "sideband.layout"  # tags of a version
EXAMPLES = 5  # events
ENVIRONMENT = "python_env.yaml"
PROVIDERS = ["CPUExecutionProvider"]  # the check vectors were held against this one


@dataclass(frozen=True)
class Exported:
    """An exported file of a cell: its path, its metadata, and the first events of its check vectors by input."""

    path: Path
    told: dict[str, Any]
    example: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, role: str) -> "Exported":
        """The file of a role in a cell's folder; raises `BadInput` where it or its check vectors are damaged."""
        path, vectors = folder / f"{role}.onnx", folder / "check.npz"
        told = graph.read(path)
        try:
            with open(vectors, "rb") as file, np.load(file) as found:
                example = {name: found[f"{role}.input.{name}"][:EXAMPLES] for name in told["inputs"]}
        except Exception as error:  # one kind per place where the archive is damaged
            raise BadInput(f"{vectors}: holds no inputs of {path.name}; export it again") from error
        return cls(path, told, example)

    @property
    def role(self) -> str:
        """What it is for."""
        return self.path.stem

    @property
    def requirements(self) -> list[str]:
        """What opens it, in the versions that it was checked with."""
        import mlflow

        versions = self.told["versions"]
        runtime = versions.get("onnxruntime") or versions.get("onnxruntime-gpu")
        pins = {"onnx": versions.get("onnx"), "onnxruntime": runtime, "numpy": versions.get("numpy")}
        found = [f"{name}=={version}" for name, version in pins.items() if version]
        return [f"mlflow=={mlflow.__version__}", *found]

    def save(self, folder: Path) -> None:
        """Write what makes an MLflow model of it into `folder`."""
        from mlflow.models import Model, ModelSignature
        from mlflow.models.utils import _save_example
        from mlflow.types import Schema, TensorSpec

        def schema(ports: Mapping[str, Any]) -> Any:
            kind = np.dtype(np.float32)
            return Schema([TensorSpec(kind, (-1, port.width), name) for name, port in metadata.ports(ports).items()])

        signature = ModelSignature(schema(self.told["inputs"]), schema(self.told["outputs"]))
        model = Model(artifact_path=self.role, signature=signature, metadata={"sideband": self.told})
        _save_example(model, self.example, str(folder))
        versions, data = self.told["versions"], self.path.name
        loader = {"loader_module": "mlflow.onnx", "python_version": versions.get("python")}
        model.add_flavor("python_function", **loader, data=data, env={"virtualenv": ENVIRONMENT})
        model.add_flavor("onnx", onnx_version=versions.get("onnx"), data=data, providers=PROVIDERS)
        model.save(str(folder / "MLmodel"))
        (folder / "requirements.txt").write_text("\n".join(self.requirements) + "\n")
        python = {"build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
        environment = {"python": versions.get("python"), **python}
        (folder / ENVIRONMENT).write_text(json.dumps(environment) + "\n")  # JSON is YAML too


def register(
    store: Any, run_id: str, exported: Exported, name: str, aliases: Sequence[str], tags: Mapping[str, str]
) -> None:
    """Make a version of a registered model of a run's exported file, once a file, with these aliases.

    Args:
        store: an MLflow client.
        run_id: the run that holds the file.
        exported: the file.
        name: the registered model.
        aliases: its names in that model.
        tags: what the version is of.
    """
    description = notes.model(exported.told)
    found = store.search_registered_models(f"name = '{name}'")
    if not found:
        store.create_registered_model(name, description=description)
    elif found[0].description != description:
        store.update_registered_model(name, description)
    versions = store.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    digest = {DIGEST: events.sha256(exported.path), WRITTEN: LAYOUT}
    if versions and digest.items() <= versions[0].tags.items():
        version = versions[0].version
    else:
        with tempfile.TemporaryDirectory() as place:
            exported.save(Path(place))
            store.log_artifacts(run_id, place, exported.role)
        version = versions[0].version if versions else _new(store, name, run_id, exported.role)
        store.update_model_version(name, version, notes.version(exported.told, f"models:/{name}@{aliases[0]}"))
        for key, value in {**tags, **digest}.items():
            store.set_model_version_tag(name, version, key, value)
    for alias in aliases:
        store.set_registered_model_alias(name, alias, version)


def _new(store: Any, name: str, run_id: str, role: str) -> str:
    source = f"{store.get_run(run_id).info.artifact_uri}/{role}"
    return str(store.create_model_version(name, source, run_id, await_creation_for=0).version)


def withdraw(store: Any, alias: str, kept: Sequence[str]) -> None:
    """Take an alias from every registered model but those `kept`."""
    for model in store.search_registered_models(max_results=1000):
        if alias in model.aliases and model.name not in kept:
            store.delete_registered_model_alias(model.name, alias)

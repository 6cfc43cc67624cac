"""Who may import whom: `infer ← benchmarks ← train ← export`."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = ("infer", "benchmarks", "train", "export")

# Libraries that belong to one end of the order.
ONLY = {
    "onnxruntime": {"infer"},
    "torch": {"train", "export"},
    "mlflow": {"train"},
    "onnx": {"export"},
    "pandas": {"benchmarks"},
}
GROUND_FLOOR = {"numpy", "h5py", "onnxruntime", "infer"}


def imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            assert node.module is not None
            yield node.module.partition(".")[0]


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("package", ORDER)
def test_imports_follow_the_order(package: str) -> None:
    later = set(ORDER[ORDER.index(package) + 1 :])
    for path in sources(package):
        found = set(imported(path))
        assert not found & later, path
        for library, allowed in ONLY.items():
            assert library not in found or package in allowed, (path, library)


def test_the_ground_floor_stands_on_three_libraries() -> None:
    for path in sources("infer"):
        allowed = GROUND_FLOOR | ({"rich"} if path.name == "__main__.py" else set())
        assert set(imported(path)) - sys.stdlib_module_names <= allowed, path


def test_no_method_imports_another() -> None:
    folder = ROOT / "train" / "methods"
    methods = {f"train.methods.{path.stem}" for path in folder.glob("*.py")} - {"train.methods.__init__"}
    for path in folder.glob("[!_]*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                assert not names & methods, path


def test_mlflow_is_the_library_and_not_our_folder() -> None:
    assert not (ROOT / "mlflow" / "__init__.py").exists()
    code = "import importlib.util; print(importlib.util.find_spec('mlflow').origin)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    origin = Path(done.stdout.strip())
    assert origin.name == "__init__.py"
    assert not origin.is_relative_to(ROOT / "mlflow")
    assert importlib.util.find_spec("mlflow.tracking") is not None


@pytest.mark.parametrize(
    ("absent", "needed"),
    [
        (
            "torch mlflow pandas sklearn matplotlib scipy",
            "infer.__main__ infer.throughput benchmarks.grid benchmarks.suite",
        ),
        ("torch onnx onnxruntime", "benchmarks.grid benchmarks.evaluate benchmarks.report train.ledger"),
        ("onnx onnxruntime", "benchmarks.grid benchmarks.task train.cell train.ledger"),
    ],
    ids=["infer", "benchmark", "train"],
)
def test_a_stage_does_without_the_packages_of_the_others(absent: str, needed: str) -> None:
    """As in the containers, where each image holds its own stage's packages alone."""
    code = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent.split()}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
for name in {needed.split()}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

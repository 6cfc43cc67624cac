"""Who may import whom: `infer ← benchmarks ← train ← export ← api`, with a line inside `benchmarks`."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = ("infer", "benchmarks", "train", "export", "api")

# The line inside `benchmarks`: `train` and `export` may import what stands below it, and nothing below knows the rest.
BELOW = {"catalogue", "documents", "entries", "events", "metrics", "presets", "simulate", "tracking"}
ABOVE = {"problems", "grid", "growth", "peers", "profiles", "report", "commands", "__main__"}

# The only places, by the start of their dotted names, that may import a library.
BELONGS = {
    "onnxruntime": ("infer",),
    "mlflow": ("benchmarks.tracking",),
    "torch": ("train", "export", "api"),
    "onnx": ("export",),
    "onnx_ir": ("export",),
    "onnxscript": ("export",),
    **dict.fromkeys(("zuko", "nflows", "torchcfm", "torchdiffeq", "ot"), ("train.peers",)),
    # Readers of files import what their formats need.
    **dict.fromkeys(("pyarrow", "uproot"), ("benchmarks.events.formats", "benchmarks.report.scores")),
    "pandas": (
        "benchmarks.events.lhco",
        "benchmarks.events.formats",
        *(f"benchmarks.{room}" for room in sorted(ABOVE)),
    ),
    **{library: tuple(f"benchmarks.{room}" for room in sorted(ABOVE)) for library in ("matplotlib", "seaborn")},
}
GROUND_FLOOR = {"numpy", "h5py", "onnxruntime"}

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in ORDER
    for path in sorted((ROOT / package).rglob("*.py"))
}


def within(name: str, places: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of these places or lies in one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def imported(name: str) -> Iterator[str]:
    """Every dotted name that a module imports, anywhere in it; ours without `sideband`.

    What `from x import y` brings may be a module or something in one, so it is both `x` and `x.y` here.
    """
    path = FILES[name]
    package = name.removesuffix(".__init__") if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
            assert not any(within(each, ORDER) for each in found), f"{path}: our packages are imported from sideband"
            yield from (each.removeprefix("sideband.") for each in found)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                assert within(name, ("infer",)), f"{path}: imports outside infer are absolute"
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*parents, *module.split(".")] if module else parents)
            else:
                assert not within(module, ORDER), f"{path}: our packages are imported from sideband"
                assert not (within(name, ("infer",)) and within(module, ("sideband",))), f"{path}: relative in infer"
            module = module.removeprefix("sideband.")
            yield module
            yield from (f"{module}.{alias.name}".removeprefix("sideband.") for alias in node.names)


def breaches(where: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    """The imports of `forbidden` names by the modules of some places."""
    modules = [name for name in FILES if within(name, where)]
    assert modules
    return [f"{name} imports {found}" for name in modules for found in imported(name) if within(found, forbidden)]


def test_every_room_of_benchmarks_stands_below_or_above_the_line() -> None:
    rooms = {name.split(".")[1] for name in FILES if within(name, ("benchmarks",))}
    assert rooms - {"__init__"} == BELOW | ABOVE


@pytest.mark.parametrize("package", ORDER)
def test_imports_follow_the_order(package: str) -> None:
    assert breaches((package,), ORDER[ORDER.index(package) + 1 :]) == []


def test_nothing_below_the_line_imports_from_above() -> None:
    below = ("train", "export", *(f"benchmarks.{room}" for room in BELOW))
    assert breaches(below, tuple(f"benchmarks.{room}" for room in ABOVE)) == []


@pytest.mark.parametrize("library", BELONGS)
def test_libraries_stay_where_they_belong(library: str) -> None:
    elsewhere = tuple(name for name in FILES if not within(name, BELONGS[library]))
    assert breaches(elsewhere, (library,)) == []


def test_the_ground_floor_stands_on_three_libraries() -> None:
    for name in FILES:
        if within(name, ("infer",)):
            allowed = GROUND_FLOOR | {"infer"} | ({"rich"} if name == "infer.__main__" else set())
            found = {each.partition(".")[0] for each in imported(name)}
            assert found - sys.stdlib_module_names <= allowed, name


def test_no_method_imports_another() -> None:
    rooms = tuple(f"train.methods.{room}" for room in ("search", "showers", "shared"))
    assert breaches(rooms, rooms) == []


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
            "infer.__main__ infer.throughput benchmarks.grid.run benchmarks.grid.suite benchmarks.problems.search",
        ),
        (
            "torch onnx onnxruntime",
            "benchmarks.grid.run benchmarks.problems.search.evaluate benchmarks.report.page benchmarks.report.ledger",
        ),
        (
            "onnx onnxruntime pandas matplotlib seaborn",
            "benchmarks.grid.run benchmarks.events.task train.__main__ train.cell benchmarks.tracking.store",
        ),
        ("mlflow pandas matplotlib seaborn sklearn", "benchmarks.grid.run export.__main__ export.cell export.compare"),
        ("torch onnx onnxruntime mlflow pandas sklearn scipy matplotlib yaml jsonschema rich argcomplete", "__main__"),
    ],
    ids=["infer", "benchmark", "train", "export", "command"],
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
    importlib.import_module(f"sideband.{{name}}")
"""
    subprocess.run([sys.executable, "-c", code], check=True)

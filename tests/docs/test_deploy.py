"""The programs that run exported files elsewhere give what `infer` gives; those whose tools are missing are skipped."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from sideband.infer.model import Model
from tests import tools
from tests.docs.pages import DOCS
from tests.infer import graphs
from tests.tools import CHROMIUM, lacks

KIT = DOCS / "deploy"
CHECK = [sys.executable, str(KIT / "check.py")]
HEADERS = Path(os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime"))


def showers(path: Path) -> Path:
    """score = x_0 + 2 x_1 + 3 x_2, of a column of three numbers."""
    nodes = [helper.make_node("MatMul", ["features", "weight"], ["score"])]
    features = {"columns": ["x"], "units": ["MeV"], "widths": [3]}
    output = {"score": {"columns": ["score"], "units": [""], "widths": [1]}}
    return graphs.write(path, "score", {"features": features}, output, nodes, {"weight": np.float32([[1], [2], [3]])})


GRAPHS = [showers, graphs.score, graphs.template, graphs.signal, graphs.morphing, graphs.weighted, graphs.encoder]


def in_python(_: Path) -> list[str]:
    return [sys.executable, str(KIT / "score.py")]


def in_cpp(folder: Path) -> list[str]:
    if not (shutil.which("c++") and shutil.which("cmake") and (HEADERS / "onnxruntime_cxx_api.h").is_file()):
        lacks("cpp", f"a C++ compiler, CMake and ONNX Runtime's headers in {HEADERS} (or in ONNXRUNTIME_INCLUDE)")
    (wheel,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # which the linker and the loader look for
        (folder / name).symlink_to(wheel)
    told = [f"-DONNXRUNTIME_INCLUDE={HEADERS}", f"-DONNXRUNTIME_LIBRARY={folder}/libonnxruntime.so"]
    for step in (["-S", KIT / "cpp", "-B", folder / "build", *told], ["--build", folder / "build"]):
        subprocess.run(["cmake", *map(str, step)], check=True, capture_output=True)
    return [str(folder / "build" / "sideband_score")]


def in_node(_: Path) -> list[str]:
    packages("node", "onnxruntime-node")
    return ["node", str(KIT / "js" / "score.mjs")]


def in_a_browser(_: Path) -> list[str]:
    packages("browser", "onnxruntime-web", "playwright-core")
    if not Path(CHROMIUM).is_file():
        lacks("browser", f"Chromium, and {CHROMIUM} is not there (CHROMIUM names another)")
    return ["node", str(KIT / "js" / "page.mjs")]


def packages(program: str, *names: str) -> None:
    if not shutil.which("node") or not all((KIT / "js" / "node_modules" / each).is_dir() for each in names):
        lacks(program, f"Node and {' and '.join(names)}: npm install --prefix docs/deploy/js --ignore-scripts")


@pytest.fixture(scope="module", params=[in_python, in_cpp, in_node, in_a_browser])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    return request.param(tmp_path_factory.mktemp("program"))


@pytest.fixture
def run(program: list[str], tmp_path: Path) -> Callable[[Path, str], subprocess.CompletedProcess[str]]:
    def call(model: Path, table: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "events.csv").write_text(table)
        command = [*program, str(model), str(tmp_path / "events.csv")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return call


def checked(path: Path) -> Path:
    """Writes check vectors beside a graph, more than go into one call."""
    random, model, stem = np.random.default_rng(1), Model(path), path.stem
    feeds = {name: random.normal(size=(1001, port.width)).astype(np.float32) for name, port in model.inputs.items()}
    vectors = {f"{stem}.input.{name}": values for name, values in feeds.items()}
    vectors |= {f"{stem}.output.{name}": values for name, values in model.run(feeds).items()}
    width = sum(port.width for port in model.outputs.values())
    np.savez(path.with_name("check.npz"), **vectors, **{f"{stem}.atol": np.full(width, 1e-6), f"{stem}.rtol": 1e-6})
    return path


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.__name__)
def test_a_program_reproduces_check_vectors(program: list[str], graph, tmp_path: Path) -> None:
    path = checked(graph(tmp_path / "graph.onnx"))
    done = subprocess.run([*CHECK, str(path), *program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "reproduced" in done.stdout


def test_columns_are_found_by_their_names(run, tmp_path: Path) -> None:
    """The score is x + 2 y."""
    done = run(graphs.score(tmp_path / "score.onnx"), "y,other,x\n1,9,0.5\n-2,9,1e-3\r\n")
    header, *scores = done.stdout.split()
    assert header == "score"
    np.testing.assert_allclose(np.array(scores, float), [2.5, -3.999], rtol=1e-6)


@pytest.mark.parametrize(
    ("table", "said"),
    [("x,z\n1,2\n", "no column 'y'"), ("x,y\n", "no events"), ("x,y\n1,much\n", ""), ("x,y\n1\n", "")],
)
def test_bad_tables_are_refused_in_one_line(run, table: str, said: str, tmp_path: Path) -> None:
    done = run(graphs.score(tmp_path / "score.onnx"), table)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_files_that_are_not_ours_are_refused(run, tmp_path: Path) -> None:
    done = run(graphs.foreign(tmp_path / "score.onnx"), "x,y\n1,2\n")
    assert done.returncode == 2
    assert "not a file of Sideband" in done.stderr


def test_what_must_run_is_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for named, outcome in (([], pytest.skip.Exception), (["cpp"], pytest.fail.Exception)):
        monkeypatch.setattr(tools, "MUST_RUN", named)
        with pytest.raises(outcome, match="cpp needs a compiler"):
            lacks("cpp", "a compiler")


def test_a_wrong_program_is_caught(tmp_path: Path) -> None:
    path = checked(graphs.score(tmp_path / "score.onnx"))
    graphs.score(path, weight=1.001)
    done = subprocess.run([*CHECK, str(path), *in_python(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "NOT REPRODUCED" in done.stdout


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (["true"], "no events"),
        (["printf", "x\\n1\\n"], "(1, 1), and not (1001, 1)"),
        (["no-such-program"], "no-such-program"),
    ],
)
def test_a_program_that_gives_no_such_table_is_told(program: list[str], said: str, tmp_path: Path) -> None:
    path = checked(graphs.score(tmp_path / "score.onnx"))
    done = subprocess.run([*CHECK, str(path), *program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert said in done.stderr

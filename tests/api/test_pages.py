"""The page on Python and the notebook run as they stand, with a preset whose fits take seconds."""

import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import yaml

from sideband.benchmarks import presets
from tests.api.conftest import TINY
from tests.docs.pages import DOCS, blocks

NOTEBOOK = json.loads((DOCS / "search.ipynb").read_text())


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`quick` is quick indeed."""
    fits = {"training": {"steps": 20, "interval": 10}}
    shared = TINY["shared"] | {"marginals": fits}
    methods = {
        "curtains": {"flow": {"couplings": 1, "hidden": 16}, "training": {"batch": 256, "interval": 10}},
        "refined": {"members": 2, "hidden": 16, **fits},
    }
    content = {"shared": shared, "methods": methods, "classifier": TINY["classifier"]}
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(presets, "PRESETS", tmp_path)
    monkeypatch.chdir(tmp_path)


def test_the_page_runs() -> None:
    space: dict[str, object] = {}
    for block in blocks(DOCS / "python.md", "python"):
        fewer = block.text.replace('"steps": 2000', '"steps": 20').replace("20_000", "5_000")
        exec(compile(fewer, "python.md", "exec"), space)
    assert Path("cathode", "template.onnx").exists()


def test_the_notebook_runs() -> None:
    mpl.use("agg")
    space: dict[str, object] = {}
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "search.ipynb", "exec"), space)
    plt.close("all")
    assert Path("cathode", "template.onnx").exists()


def test_the_notebook_shows_what_came_out() -> None:
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code)
    assert "observed" in str(code[-2]["outputs"])

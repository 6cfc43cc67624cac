import json
from pathlib import Path

import onnx
import pytest
import torch

from infer.provenance import cores


@pytest.fixture(autouse=True)
def threads_restored():
    yield
    torch.set_num_threads(1)


def test_a_row_for_each_engine_batch_and_thread_count(
    exported: Path, small_task: Path, tmp_path: Path, command
) -> None:
    out = tmp_path / "compare.json"
    given = ("--task", small_task, "--out", out, "--batches", 100, 1000, "--repeats", 3, "--seconds", 0.01)
    done = command("export", "compare", exported / "model.pt", exported / "template.onnx", *given)
    assert done.status == 0, done.err
    rows = json.loads(out.read_text())
    found = {(row["engine"], row["batch"], row["threads"]) for row in rows}
    assert found == {
        (engine, batch, threads)
        for engine in ("onnxruntime", "torch eager")
        for batch in (100, 1000)
        for threads in {1, cores()}
    }
    for row in rows:
        assert row["parity"] <= 1
        assert 0 < row["p10"] <= row["events_per_second"] <= row["p90"]
        assert row["method"] == "transit"
        assert row["code"]


def test_trees_have_nothing_to_compare(exported: Path, small_task: Path, command) -> None:
    given = (exported / "model.pt", exported / "score.onnx", "--task", small_task)
    assert "comes from trees" in command("export", "compare", *given).refused()


def test_no_timing_of_a_graph_that_differs(cell: Path, small_task: Path, tmp_path: Path, command) -> None:
    path = cell / "template.onnx"
    model = onnx.load(path)
    next(node for node in reversed(model.graph.node) if node.op_type == "Add").op_type = "Sub"
    onnx.save(model, path)
    out = tmp_path / "compare.json"
    done = command("export", "compare", cell / "model.pt", path, "--task", small_task, "--out", out)
    assert done.status == 1
    assert "differs from torch" in done.err
    assert not out.exists()

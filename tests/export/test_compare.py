import json
from pathlib import Path

import h5py
import onnx
import pytest
import torch

from sideband.infer.provenance import cores


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


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", "2"), ("injection", "n0"), ("method", "cathode"), ("window", "[3.0, 3.4]"), ("dataset_sha256", "0" * 64)],
)
def test_the_graph_of_another_fit_is_refused(key: str, value: str, cell: Path, small_task: Path, command) -> None:
    path = cell / "template.onnx"
    model = onnx.load(path)
    next(entry for entry in model.metadata_props if entry.key == key).value = value
    onnx.save(model, path)
    (cell / "export.json").unlink()  # the digest there would tell too
    line = command("export", "compare", cell / "model.pt", path, "--task", small_task).refused()
    assert f"{path}: is not the graph of {cell / 'model.pt'} (another {key})" in line


def test_a_file_that_the_fit_does_not_export_is_refused(cell: Path, small_task: Path, command) -> None:
    given = (cell / "model.pt", cell / "density.onnx", "--task", small_task)
    assert "exports no such file, but template, score, fold0, fold1" in command("export", "compare", *given).refused()


def test_another_task_is_refused(cell: Path, small_task: Path, tmp_path: Path, command) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(small_task.read_bytes())
    with h5py.File(other, "a") as file:
        file.attrs["seed"] = 2
    given = (cell / "model.pt", cell / "template.onnx", "--task", other)
    assert "is not the task" in command("export", "compare", *given).refused()


@pytest.mark.parametrize(
    "given",
    [
        *(("--batches", "0"), ("--batches", "2000000"), ("--repeats", "2"), ("--repeats", "100000")),
        *(("--seconds", "0"), ("--seconds", "nan"), ("--seconds", "inf"), ("--seconds", "1e9")),
    ],
)
def test_numbers_out_of_their_range_are_refused(
    given: tuple[str, str], exported: Path, small_task: Path, command
) -> None:
    files = (exported / "model.pt", exported / "template.onnx", "--task", small_task)
    assert f"argument {given[0]}: '{given[1]}' is not a" in command("export", "compare", *files, *given).refused()


@pytest.mark.parametrize("name", ["model.pt", "template.onnx", "task.h5"])
def test_the_output_is_no_input(name: str, cell: Path, small_task: Path, command) -> None:
    (cell / "task.h5").write_bytes(small_task.read_bytes())
    before = (cell / name).read_bytes()
    files = (cell / "model.pt", cell / "template.onnx", "--task", cell / "task.h5", "--out", cell / name)
    assert "is an input of this command" in command("export", "compare", *files).refused()
    assert (cell / name).read_bytes() == before


def test_no_timing_of_a_graph_that_differs(cell: Path, small_task: Path, tmp_path: Path, command) -> None:
    path = cell / "template.onnx"
    model = onnx.load(path)
    next(node for node in reversed(model.graph.node) if node.op_type == "Add").op_type = "Sub"
    onnx.save(model, path)
    (cell / "export.json").unlink()  # the digest there would tell too
    out = tmp_path / "compare.json"
    done = command("export", "compare", cell / "model.pt", path, "--task", small_task, "--out", out)
    assert done.status == 1
    assert "differs from torch" in done.err
    assert not out.exists()

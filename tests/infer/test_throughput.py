from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sideband.infer import throughput
from sideband.infer.errors import BadInput
from tests.infer import graphs

SMALL = {"batches": [50, 1000], "threads": [1, 2], "repeats": 3, "seconds": 0.01, "file_events": 2000}


@pytest.mark.parametrize("build", [graphs.template, graphs.morphing, graphs.score])
def test_every_scope_batch_and_thread_count_has_its_row(
    build: Callable[[Path], Path], toy_task: Path, tmp_path: Path
) -> None:
    rows = list(throughput.measure(build(tmp_path / "model.onnx"), toy_task, **SMALL))
    scopes = [(scope, batch) for batch in (50, 1000) for scope in ("graph", "host")] + [("file", 1000)]
    assert [(row["threads"], row["scope"], row["batch"]) for row in rows] == [
        (threads, *place) for threads in (1, 2) for place in scopes
    ]
    for row in rows:
        assert row["kind"] == "throughput"
        assert row["provider"] == "CPUExecutionProvider"
        assert row["repeats"] == 3
        assert 0 < row["p10"] <= row["events_per_second"] <= row["p90"]
        assert row["events_per_repeat"] % (row["batch"] * row["threads"] if row["scope"] != "file" else 2000) == 0
        assert row["total_seconds"] > 0
        assert row["warm_up_seconds"] > 0
        share = 8.0 * row["events_per_second"] / row["matmul_flop_per_second"]
        assert row["fraction_of_matmul"] == pytest.approx(share)
        assert {"code", "model_sha256", "method", "processor", "version_onnxruntime"} <= row.keys()
        assert not any(isinstance(value, dict | list) for value in row.values())  # flat


def test_trees_have_no_share_of_the_matrix_product(toy_task: Path, tmp_path: Path) -> None:
    path = graphs.score(tmp_path / "score.onnx", flop_per_event=None, cpu_only=True)
    (row, *_) = throughput.measure(path, toy_task, **SMALL)
    assert row["fraction_of_matmul"] is None
    assert row["matmul_flop_per_second"] > 0


def test_a_task_without_data_is_refused(toy_task: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.h5"
    task.write_bytes(toy_task.read_bytes())
    with h5py.File(task, "a") as file:
        del file["data"]
        for name in "xy":
            file[f"data/{name}"] = np.empty(0, np.float32)
    with pytest.raises(BadInput, match="no events in 'data'"):
        next(throughput.measure(graphs.score(tmp_path / "score.onnx"), task, **SMALL))


def test_statistics_of_known_times() -> None:
    times = [1.0, 2.0, 4.0, 5.0, 10.0]
    found = throughput.statistics(times, done=100)
    assert found["events_per_second"] == 25.0
    assert found["p10"] == pytest.approx(10 + 0.4 * 10)  # rates 10, 20, 25, 50, 100
    assert found["p90"] == pytest.approx(50 + 0.6 * 50)
    assert (found["repeats"], found["events_per_repeat"], found["total_seconds"]) == (5, 100, 22.0)


def test_calls_are_counted_as_they_are_made() -> None:
    calls = [0, 0]

    def call(index: int) -> Callable[[], None]:
        def once() -> None:
            calls[index] += 1

        return once

    found = throughput.time_calls([call(0), call(1)], batch=10, repeats=4, seconds=0.001)
    number, rest = divmod(found["events_per_repeat"], 10 * 2)
    assert rest == 0
    assert calls == [2 + number * 4] * 2  # two to choose the number, four timed


@pytest.mark.parametrize(("number", "left_out"), [(6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (20, 5)])
def test_the_interval_of_the_median_is_the_sign_tests(number: int, left_out: int) -> None:
    scattered = [0.5] * left_out + [1.0] * (number - 2 * left_out) + [2.0] * left_out
    assert throughput.settled(scattered)
    assert not throughput.settled([*scattered[:-1], 2.0, 2.0][-number:])
    # A table of the sign test, in numbers: all but 2.5 % of binomial draws on either side.
    below = np.random.default_rng(1).binomial(number, 0.5, 200_000)
    assert np.mean(below <= left_out) < 0.026 < np.mean(below <= left_out + 1) + 1e-3


def test_repeats_end_where_the_median_is_settled_and_no_later_than_asked_for() -> None:
    steady, jumping = iter([1.0] * 99), iter([1.0, 2.0] * 99)
    assert throughput._repeated(lambda: next(steady), 50, 99.0) == [1.0] * 6
    assert len(throughput._repeated(lambda: next(jumping), 50, 99.0)) == 50
    assert throughput._repeated(lambda: 1.0, 3, 99.0) == [1.0] * 3


@pytest.mark.parametrize(("seconds", "repeats"), [(0.5, 5), (3.0, 5), (4.5, 6), (6.0, 8)])
def test_slow_calls_end_a_row_after_twice_its_time_but_not_before_five(seconds: float, repeats: int) -> None:
    times = iter([1.0, 2.0] * 99)
    assert len(throughput._repeated(lambda: next(times), 50, seconds)) == repeats


def test_a_matrix_product_counts_a_multiplication_and_an_addition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "time_calls", lambda *arguments, **options: {"events_per_second": 3.0})
    assert throughput._matmul_rate(1, "cpu", 0.1) == 3 * 2 * 1000 * 256 * 256


def test_the_matrix_product_is_what_it_says() -> None:
    def table(name: str, rows: str, columns: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, columns])

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "matmul",
        [table("a", "m", "k"), table("b", "k", "n")],
        [table("c", "m", "n")],
    )
    made = helper.make_model(graph, producer_name="", opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert onnx.load(throughput.MATMUL).SerializeToString() == made.SerializeToString()

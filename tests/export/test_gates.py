from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from sideband.export.gates import BATCHES, MOST, SEVERAL, TOLERANCE, check_graph, check_parity, tolerances
from sideband.infer.errors import GateFailed

PATH = Path("template.onnx")


def sound(nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """features = 2 noise."""
    nodes = nodes or [helper.make_node("Add", ["noise", "noise"], ["features"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("noise", "features")]
    graph = helper.make_graph(nodes, "template", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model


def hidden_randomness() -> onnx.ModelProto:
    """A random node inside the branch of an If."""
    output = helper.make_tensor_value_info("drawn", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("RandomNormalLike", ["noise"], ["drawn"])], "branch", [], [output])
    always = helper.make_node(
        "Constant", [], ["always"], value=helper.make_tensor("value", TensorProto.BOOL, [], [True])
    )
    nodes = [
        always,
        helper.make_node("If", ["always"], ["chosen"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["noise", "chosen"], ["features"]),
    ]
    return sound(nodes)


def static_batch() -> onnx.ModelProto:
    model = sound()
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 64
    return model


def other_versions(ir: int, opset: int) -> onnx.ModelProto:
    model = sound()
    model.ir_version, model.opset_import[0].version = ir, opset
    return model


def in_double() -> onnx.ModelProto:
    model = sound()
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


def elsewhere() -> onnx.ModelProto:
    model = sound([helper.make_node("Add", ["noise", "weight"], ["features"])])
    model.graph.initializer.append(helper.make_tensor("weight", TensorProto.FLOAT, [2], [0.0, 0.0]))
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return model


def test_a_sound_graph_passes() -> None:
    check_graph(sound(), PATH)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sound([helper.make_node("RandomNormalLike", ["noise"], ["features"])]), "random node"),
        (hidden_randomness, "random node"),
        (static_batch, "dynamic first axis"),
        (lambda: other_versions(9, 18), "IR 9"),
        (lambda: other_versions(8, 17), "'': 17"),
        (in_double, "not a float32 table"),
        (lambda: sound([helper.make_node("Add", ["noise", "nothing"], ["features"])]), "ONNX checker refuses"),
        (lambda: sound([helper.make_node("Magic", ["noise"], ["features"])]), "ONNX checker refuses"),
        (elsewhere, "weights"),
    ],
)
def test_what_must_not_be_exported_is_refused(make: Callable[[], onnx.ModelProto], reason: str) -> None:
    with pytest.raises(GateFailed, match=reason) as error:
        check_graph(make(), PATH)
    assert str(error.value).startswith("template.onnx: ")
    assert "\n" not in str(error.value)


class Graph:
    """Stands for an opened file: 3 x, but for what `spoil` does to it."""

    path = PATH

    def __init__(self, spoil: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self.spoil = spoil

    def run(self, feeds: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        return {"features": self.spoil(triple(feeds))}


def triple(feeds: Any) -> NDArray[np.float64]:
    return feeds["noise"].astype(np.float64) * [3.0, 300.0]


FEEDS = {"noise": np.random.default_rng(0).normal(size=(max(BATCHES), 2)).astype(np.float32)}
ATOL = tolerances(triple(FEEDS), triple(FEEDS))


def parity(spoil: Callable[[NDArray[Any]], NDArray[Any]], error: Any = 0.0) -> dict[str, Any]:
    return check_parity(Graph(spoil), FEEDS, triple(FEEDS) + error, triple(FEEDS), ATOL, Path("score.onnx"))


def test_tolerances_follow_the_spread_of_each_column() -> None:
    exact = np.array([[0.0, 1000.0, 5.0], [2.0, 3000.0, 5.0]])
    assert tolerances(exact, exact) == [TOLERANCE, 1000 * TOLERANCE, TOLERANCE]


def test_no_file_need_agree_better_than_float32_allows() -> None:
    exact = triple(FEEDS)
    single = exact.copy()
    single[7, 0] += 3 * ATOL[0] + TOLERANCE * abs(exact[7, 0])  # one event, of one column
    first, second = tolerances(exact, single)
    assert first == pytest.approx(SEVERAL * 3 * ATOL[0])
    assert second == ATOL[1]

    def erring(by: float) -> Graph:
        def spoiled(values: NDArray[Any]) -> NDArray[Any]:
            values[7:8, 0] -= by * ATOL[0]
            return values

        return Graph(spoiled)

    allowed = [first, second]
    found = check_parity(erring(3), FEEDS, single, exact, allowed, PATH)
    assert 0.4 < found["against_torch"] < 1
    with pytest.raises(GateFailed, match="times the tolerance"):
        check_parity(erring(3), FEEDS, single, exact, ATOL, PATH)
    with pytest.raises(GateFailed, match="times the tolerance"):
        check_parity(erring(15), FEEDS, single, exact, allowed, PATH)


def test_a_module_that_float32_ruins_is_not_excused() -> None:
    exact = triple(FEEDS)
    assert tolerances(exact, exact * 1.5) == pytest.approx(MOST * exact.std(0))


def test_parity_counts_in_tolerances() -> None:
    found = parity(lambda values: values + 0.4 * np.asarray(ATOL), 0.2 * np.asarray(ATOL))
    assert found["against_torch"] == pytest.approx(0.2, abs=0.01)
    assert found["against_float64"] == pytest.approx(0.4, abs=0.01)
    assert found["torch_against_float64"] == pytest.approx(0.2, abs=0.01)
    assert found["spread"] == pytest.approx(300, rel=0.1)
    assert found["drift"] == pytest.approx(0.4 * ATOL[1])


def test_where_outputs_jump_one_may_and_the_other_not() -> None:
    def moved(by: float) -> Graph:
        return Graph(lambda values: values + by * np.asarray(ATOL))

    assert check_parity(moved(0.5), FEEDS, triple(FEEDS), triple(FEEDS), ATOL, PATH, jumps=True)["against_torch"] > 0.4
    with pytest.raises(GateFailed, match="times the tolerance"):
        check_parity(moved(3), FEEDS, triple(FEEDS), triple(FEEDS), ATOL, PATH, jumps=True)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda values: values * [1, 1 + 5e-4], "times the tolerance"),
        (lambda values: values + np.array([3e-3, 0]), "times the tolerance"),
        (lambda values: np.where(np.arange(len(values))[:, None] == 2000, 0, values), "times the tolerance"),
        (lambda values: values * (np.nan if len(values) == 1 else 1), "inf times the tolerance"),
        (lambda values: values[:, :1], "output of shape"),
        (lambda values: values + 0.4 * np.asarray(ATOL), "not rounding"),
    ],
)
def test_a_graph_that_differs_is_refused(spoil: Callable[[NDArray[Any]], NDArray[Any]], reason: str) -> None:
    with pytest.raises(GateFailed, match=reason):
        parity(spoil)

"""What an exported file must pass before it bears its name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sideband.export.graph import IR, ML_OPSET, OPSET
from sideband.infer.errors import GateFailed, in_one_line
from sideband.infer.model import Model, deviation

# Relative to each output column's own spread, and to the value: units must not matter.
TOLERANCE = 1e-4
# Rounding differs by the order of sums; beyond this factor of torch's own float32 error it would be an export error.
EXCUSED = 10.0
SEVERAL, MOST = 4.0, 0.01  # of the module's own float32 error, and of the spread, that a tolerance may be
BATCHES = (1, 37, 1000, 2048)
CHECKED = 64
RANDOM = (
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Dropout",
)

Feeds = Mapping[str, NDArray[np.float32]]


def check_graph(model: onnx.ModelProto, path: Path) -> None:
    """The ONNX checker, versions, types, one dynamic first axis, no randomness, no external data."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateFailed(f"{path}: the ONNX checker refuses it: {in_one_line(error)}") from error
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if model.ir_version != IR or opsets.get("") != OPSET or opsets.get("ai.onnx.ml", ML_OPSET) > ML_OPSET:
        raise GateFailed(f"{path}: IR {model.ir_version}, opsets {opsets}; IR {IR}, opset {OPSET} were asked for")
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        dimensions = kind.shape.dim
        if kind.elem_type != onnx.TensorProto.FLOAT or len(dimensions) != 2:
            raise GateFailed(f"{path}: '{value.name}' is not a float32 table")
        if not dimensions[0].dim_param or not dimensions[1].dim_value:
            raise GateFailed(f"{path}: '{value.name}' must have a dynamic first axis and a fixed second one")
    for node in _nodes(model.graph):
        if node.op_type in RANDOM:
            raise GateFailed(f"{path}: holds a random node ({node.op_type}); noise must be an input")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise GateFailed(f"{path}: keeps weights in another file")


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def tolerances(exact: NDArray[np.float64], single: NDArray[Any], resolution: float = 0.0) -> list[float]:
    """The absolute tolerance of each output column `[N, columns]`: a share of its spread over events.

    Where that is less than the `resolution` that the module's output is of any use to, it is that. Where float32 leaves
    the fitted module itself less exact at some event, as at the edge of a feature whose density is singular, two
    programs cannot agree better; then it is a multiple of the module's error, up to a hundredth of the spread.

    Args:
        exact: what the fitted module gives in float64.
        single: what it gives in float32.
        resolution: the least difference that means anything.
    """
    spread = exact.std(0)
    usual = np.where(spread > 0, TOLERANCE * spread, TOLERANCE)
    error = np.abs(single - exact) - TOLERANCE * np.abs(exact)  # the relative part of the tolerance comes on top
    inexact = np.minimum(SEVERAL * error.max(0), MOST * spread)
    return [max(each, resolution) for each in np.maximum(usual, inexact).tolist()]


def check_parity(
    model: Model,
    feeds: Feeds,
    single: NDArray[Any],
    exact: NDArray[np.float64],
    atol: list[float],
    path: Path,
    jumps: bool = False,
) -> dict[str, Any]:
    """Hold ONNX Runtime against the fitted module at several batch sizes, and both against float64.

    Args:
        model: the exported file, opened.
        feeds: realistic inputs, `[max(BATCHES), columns]` each.
        single: what the fitted module gives for `feeds` in float32.
        exact: the same in float64.
        atol: absolute tolerance of each output column.
        path: what the file will be called, for the message.
        jumps: whether the output jumps, so that rounding moves a few events by as much as `atol` and others not at all.

    Returns:
        Tolerances, the largest differences in their units, the float64 errors of both, and in the output's unit
        `drift`, the largest difference of the file from float64, and `spread`, the widest column's over events.

    Raises:
        GateFailed: a difference beyond the tolerance, or an error that float32 rounding does not explain.
    """
    worst, ours, drift = 0.0, 0.0, 0.0
    allowed = np.asarray(atol)
    theirs = deviation(single, exact, allowed, TOLERANCE)
    for size in BATCHES:
        batch = {name: np.ascontiguousarray(values[:size]) for name, values in feeds.items()}
        found = np.column_stack([*model.run(batch).values()])
        if found.shape != (size, len(atol)):
            raise GateFailed(f"{path}: {size} events give an output of shape {found.shape}")
        worst = max(worst, deviation(found, single[:size], allowed, TOLERANCE))
        ours = max(ours, deviation(found, exact[:size], allowed, TOLERANCE))
        drift = max(drift, float(np.abs(found - exact[:size]).max()))
    if worst > 1:
        raise GateFailed(f"{path}: differs from the fitted module by {worst:.3g} times the tolerance")
    if ours > (1.0 if jumps else EXCUSED * theirs + 0.01):
        raise GateFailed(f"{path}: errs {ours:.3g} tolerances against float64, torch {theirs:.3g}; not rounding")
    return {
        "atol": atol,
        "rtol": TOLERANCE,
        "against_torch": worst,
        "against_float64": ours,
        "torch_against_float64": theirs,
        "drift": drift,
        "spread": float(exact.std(0).max()),
    }

"""From a fitted module or a tree ensemble to an ONNX graph: opset 18, IR 8, float32, one file, batch axis first.

ONNX Runtime 1.15.1 and everything since loads such a file; the versions are constants because the installed onnx
stamps newer ones than the installed ONNX Runtime reads.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from train.trees import TreeEnsemble

OPSET, ML_OPSET, IR = 18, 3, 8


def from_module(module: nn.Module, example: Mapping[str, NDArray[np.float32]], output: str) -> onnx.ModelProto:
    """Trace a module with torch's exporter.

    Args:
        module: takes `[N, columns]` tensors by name, gives one.
        example: realistic inputs, at least two events.
        output: the name of what it gives.
    """
    tensors = {name: torch.from_numpy(values) for name, values in example.items()}
    batch = torch.export.Dim("batch")
    # The exporter prints, logs and warns of its own affairs; an error still comes as an exception.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.cpu().eval(),
            kwargs=tensors,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={name: {0: batch} for name in tensors},
            input_names=list(tensors),
            output_names=[output],
            verbose=False,
        )
    assert program is not None
    return _plain(program.model_proto)


def from_trees(trees: TreeEnsemble) -> onnx.ModelProto:
    """One merged TreeEnsembleRegressor with a target for each member, then the mean of their probabilities.

    Inputs are float32, so a float64 threshold may be rounded down to float32 without any event changing sides.
    """
    leaf = trees.left < 0
    starts = np.flatnonzero(np.diff(trees.tree, prepend=-1))
    node = np.arange(len(trees.tree)) - starts[trees.tree] if len(starts) else trees.tree
    members = len(trees.baseline)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["odds"],
        domain="ai.onnx.ml",
        n_targets=members,
        base_values=trees.baseline.astype(np.float32).tolist(),
        nodes_treeids=trees.tree.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=trees.feature.tolist(),
        nodes_values=_rounded_down(trees.threshold).tolist(),
        nodes_truenodeids=np.where(leaf, 0, trees.left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, trees.right).tolist(),
        target_treeids=trees.tree[leaf].tolist(),
        target_nodeids=node[leaf].tolist(),
        target_ids=trees.member[leaf].tolist(),
        target_weights=trees.value[leaf].astype(np.float32).tolist(),
    )
    mean = helper.make_node("ReduceMean", ["probability"], ["score"], axes=None, keepdims=1)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    mean.input.append("axes")
    graph = helper.make_graph(
        [ensemble, helper.make_node("Sigmoid", ["odds"], ["probability"]), mean],
        "score",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", trees.features])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1])],
        [axes],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return _plain(helper.make_model(graph, opset_imports=opsets))


def _rounded_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each value."""
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fix the IR version and strip what exporters add: stack traces, file paths, intermediate shapes."""
    model.ir_version = IR
    model.producer_name, model.producer_version, model.doc_string = "sideband", "1", ""
    del model.metadata_props[:]
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.value_info[:]
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            graphs += [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.doc_string = ""
            del value.metadata_props[:]
    return model

"""From a fitted module or a tree ensemble to an ONNX graph: opset 18, IR 8, float32, one file, batch axis first.

ONNX Runtime 1.15.1 and everything since loads such a file; the versions are constants because the installed onnx
stamps newer ones than the installed ONNX Runtime reads.
"""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_ir import serde
from onnx_ir.passes import PassBase, Sequential, common
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules
from torch import nn

from sideband.infer import events
from sideband.train.classifiers.trees import TreeEnsemble

OPSET, ML_OPSET, IR = 18, 3, 8

# The exporter tries some fifty patterns at every node, which takes most of an export. These are the ones that ever fit.
RULES = (
    rules.no_op_transpose_rule,
    rules.transpose_transpose_rule,
    rules.reshape_reshape_rule,
    rules.squeeze_reshape_1d_rule,
    rules.collapse_slice_rule,
    rules.collapse_slice2_rule,
    rules.min_max_rule,
    rules.max_min_rule,
    rules.add_0_rule,
    rules.mul_by_1_rule,
    rules.div_by_1_rule,
)


def from_module(
    module: nn.Module,
    example: Mapping[str, NDArray[np.float32]],
    outputs: Sequence[str],
    cache: Path | None = None,
    code: str = "",
) -> onnx.ModelProto:
    """Trace a module with torch's exporter, or put its weights into the graph of an earlier one of the same shape.

    Tracing takes about ten seconds. The result depends on the shape alone, and a grid exports many modules of one
    shape. Modules are of two shapes if their attributes differ, or the buffers that no fit keeps, such as a sampler's
    noise levels. So a weight that stands in the graph can be replaced. A weight that does not stand there has no
    effect, or tracing has turned it into a constant. Where such a weight differs, the module is traced too, and must
    equal the earlier graph with its weights replaced; where it does not, every module is traced. Whatever comes out is
    held against the module, as every file is.

    Args:
        module: takes `[N, columns]` tensors by name, gives one or several.
        example: realistic inputs, at least two events.
        outputs: the names of what it gives.
        cache: folder for graphs whose weights can be replaced; none where None.
        code: a digest of the code, which shapes the graph beside the module.
    """
    if cache is None:
        return _optimised(_traced(module, example, outputs))
    state = module.state_dict()
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    settled = {name: _sha(tensor) for name, tensor in module.named_buffers() if name not in state}
    versions = torch.__version__, onnx.__version__
    key = repr((code, list(outputs), list(example), shapes, settled, list(_attributes(module)), versions))
    path = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.onnx"
    digests = {name: _sha(tensor) for name, tensor in state.items()}
    known = _kept(path)
    if known is None:
        model = _traced(module, example, outputs)
        _keep(path, model, {"digests": digests, "places": _places(model, module), "proven": []})
        return _optimised(model)
    kept, notes = known
    changed = {name for name, digest in digests.items() if notes["digests"][name] != digest}
    shared = _with_weights(kept, notes["places"], module)
    if changed <= {*notes["places"].values(), *notes["proven"]}:
        return _optimised(shared)
    model = _traced(module, example, outputs)
    if notes["places"] and shared.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True):
        # What differs now has been replaced, and what was proven before need not have differed.
        _keep(path, model, {**notes, "digests": digests, "proven": sorted({*notes["proven"], *changed})})
    else:
        _keep(path, model, {"digests": digests, "places": {}, "proven": []})
    return _optimised(model)


def _keep(path: Path, model: onnx.ModelProto, notes: dict[str, Any]) -> None:
    kept = onnx.ModelProto.FromString(model.SerializeToString())
    kept.metadata_props.add(key="shared", value=json.dumps({**notes, "sha256": _digest(model, notes)}))
    with events.atomic(path) as temporary:
        onnx.save(kept, temporary)


def _kept(path: Path) -> tuple[onnx.ModelProto, dict[str, Any]] | None:
    """The graph that `_keep` wrote, with its notes; None if there is none, or if it is damaged."""
    if not path.is_file():
        return None
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
        (entry,) = model.metadata_props
        notes = json.loads(entry.value)
        del model.metadata_props[:]
        if notes.pop("sha256") == _digest(model, notes):
            return model, notes
    except (DecodeError, ValueError, KeyError, AttributeError, RecursionError):
        pass
    print(f"{path}: damaged; traced anew", flush=True)
    return None


def _digest(model: onnx.ModelProto, notes: Mapping[str, Any]) -> str:
    content = model.SerializeToString(deterministic=True) + json.dumps(notes, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _attributes(module: nn.Module) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What tracing sees of a module beside its weights."""
    internal = vars(nn.Module())
    for name, part in module.named_modules():
        found = {key: value for key, value in vars(part).items() if key not in internal}
        yield name, type(part).__qualname__, found


def _sha(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.cpu().numpy().tobytes()).hexdigest()[:16]


def _places(model: onnx.ModelProto, module: nn.Module) -> dict[str, str]:
    """Which initializer holds which weight; empty if a weight may be in several of them.

    A weight in no initializer has no effect on this graph, or became part of a constant; the proof shows which.
    """
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    places: dict[str, str] = {}
    for name, value in state.items():
        # Weights of a stack of one member lose that axis and get a new name, but keep their numbers.
        same = [
            other
            for other, found in arrays.items()
            if found.size == value.size > 1 and np.array_equal(found.ravel(), value.ravel())
        ]
        found = [name] if name in arrays else same
        if len(found) > 1:
            return {}
        places |= dict.fromkeys(found, name)
    return places


def _with_weights(model: onnx.ModelProto, places: Mapping[str, str], module: nn.Module) -> onnx.ModelProto:
    state = module.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in places:
            value = state[places[tensor.name]].numpy().reshape(tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    del model.metadata_props[:]
    return model


def _traced(module: nn.Module, example: Mapping[str, NDArray[np.float32]], outputs: Sequence[str]) -> onnx.ModelProto:
    tensors = {name: torch.from_numpy(values) for name, values in example.items()}
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            module.cpu().eval(),
            kwargs=tensors,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={name: {0: batch} for name in tensors},
            input_names=list(tensors),
            output_names=list(outputs),
            verbose=False,
            optimize=False,  # that works constants out from weights, so it comes after they are replaced
        )
    assert program is not None
    return _plain(program.model_proto)


def _optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Do what the exporter would do last: inline functions, fold constants, remove repeated work."""
    graph = serde.deserialize_model(model)
    passes: list[PassBase] = [
        RewritePass(RULES),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.IdentityEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    ]
    with _quiet():
        common.InlinePass()(graph)
        fold_constants_ir(graph, onnx_shape_inference=True)
        Sequential(*passes)(graph)
    return _plain(serde.serialize_model(graph))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what libraries print, log and warn about; errors still come as exceptions."""
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def from_trees(trees: TreeEnsemble) -> onnx.ModelProto:
    """One merged TreeEnsembleRegressor with a target for each member, then the mean of their probabilities.

    Inputs are float32, so a float64 threshold may be rounded down to float32 without any event changing sides.
    """
    leaf = trees.left < 0
    node = np.arange(len(trees.tree)) - trees.roots[trees.tree]
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


def behind(encoder: onnx.ModelProto, classifier: onnx.ModelProto) -> onnx.ModelProto:
    """One graph of an encoder, whose output is `latent`, and a classifier of that, whose input is `features`."""
    first = onnx.compose.add_prefix(encoder, "encoder/", rename_inputs=False, rename_outputs=False)
    second = onnx.compose.add_prefix(classifier, "classifier/", rename_outputs=False)
    return _plain(onnx.compose.merge_models(first, second, io_map=[("latent", "classifier/features")]))


def _rounded_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each value."""
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fix the IR version and strip what exporters add: stack traces, file paths, intermediate shapes."""
    model.ir_version = IR
    model.producer_name, model.producer_version = "sideband", "1"
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for item in (graph, *graph.node, *graph.input, *graph.output):
            item.ClearField("doc_string")
            item.ClearField("metadata_props")
        graph.ClearField("value_info")
        for tensor in graph.initializer:  # in one form, whoever wrote them: equal graphs become equal files
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
        for node in graph.node:
            graphs += [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return model

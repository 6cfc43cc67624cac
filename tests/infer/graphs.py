"""Tiny exported files: graphs whose output is known in closed form, with metadata as `export` writes it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sideband.infer.model import STRUCTURED

Port = dict[str, Any]

NOISE: Port = {"columns": ["noise_0", "noise_1"], "units": ["", ""], "widths": [1, 1], "drawn": {"kind": "noise"}}
MASS: Port = {"columns": ["m"], "units": ["TeV"], "widths": [1]}
TARGET: Port = {**MASS, "drawn": {"kind": "target"}}
FEATURES: Port = {"columns": ["x", "y"], "units": ["TeV", ""], "widths": [1, 1]}
SPREAD = np.array([[0.5, -1.0], [0.25, 2.0]], dtype=np.float32)
SLOPE = np.array([[1.0, -3.0]], dtype=np.float32)


def width(port: Port) -> int:
    """Numbers an event."""
    return sum(port.get("widths", [1] * len(port["columns"])))


def write(
    path: Path,
    role: str,
    inputs: dict[str, Port],
    outputs: dict[str, Port],
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    /,
    **metadata: Any,
) -> Path:
    """Write a graph with complete metadata; `metadata` goes over the defaults."""
    told = {
        "role": role,
        "method": "toy",
        "seed": "1",
        "inputs": inputs,
        "outputs": outputs,
        "window": [3.3, 3.7],
        "mass_range": [2.3, 5.0],
        "settings": {},
        "fitted_range": {},
        "flop_per_event": 8.0,
        "parity": {"atol": [1e-4] * sum(map(width, outputs.values())), "rtol": 1e-4},
        "versions": {},
        "cpu_only": False,
        **metadata,
    }

    def infos(ports: dict[str, Port]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width(port)])
            for name, port in ports.items()
        ]

    graph = helper.make_graph(
        nodes,
        role,
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="sideband")
    model.ir_version = 8
    for key, value in told.items():
        model.metadata_props.add(key=key, value=json.dumps(value) if key in STRUCTURED else value)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def template(path: Path, **metadata: Any) -> Path:
    """features = noise @ SPREAD + condition * SLOPE."""
    nodes = [
        helper.make_node("MatMul", ["noise", "spread"], ["smeared"]),
        helper.make_node("MatMul", ["condition", "slope"], ["mean"]),
        helper.make_node("Add", ["smeared", "mean"], ["features"]),
    ]
    inputs = {"noise": NOISE, "condition": TARGET}
    return write(
        path, "template", inputs, {"features": FEATURES}, nodes, {"spread": SPREAD, "slope": SLOPE}, **metadata
    )


def signal(path: Path) -> Path:
    """features = noise @ SPREAD, at masses that the graph makes itself: 3.5 + the first noise times 0."""
    nodes = [
        helper.make_node("MatMul", ["noise", "spread"], ["features"]),
        helper.make_node("MatMul", ["noise", "nought"], ["nothing"]),
        helper.make_node("Add", ["nothing", "middle"], ["mass"]),
    ]
    constants = {"spread": SPREAD, "nought": np.zeros((2, 1), np.float32), "middle": np.array([[3.5]], np.float32)}
    return write(path, "signal", {"noise": NOISE}, {"features": FEATURES, "mass": MASS}, nodes, constants)


def morphing(path: Path, region: str = "sidebands") -> Path:
    """features = source + (condition - source_condition) * SLOPE: events of the data moved to new masses.

    Events of the signal region keep their own masses.
    """
    nodes = [
        helper.make_node("Sub", ["condition", "source_condition"], ["shift"]),
        helper.make_node("MatMul", ["shift", "slope"], ["moved"]),
        helper.make_node("Add", ["source", "moved"], ["features"]),
    ]
    rows = {"drawn": {"kind": "rows", "group": "data", "region": region}}
    mass = {**MASS, **rows} if region == "signal region" else TARGET
    inputs = {"condition": mass, "source": {**FEATURES, **rows}, "source_condition": {**MASS, **rows}}
    return write(path, "template", inputs, {"features": FEATURES}, nodes, {"slope": SLOPE})


def weighted(path: Path) -> Path:
    """The data of the window, one after the other, each with the weight x."""
    rows = {"drawn": {"kind": "rows", "group": "data", "region": "signal region", "order": "turn"}}
    nodes = [
        helper.make_node("Identity", ["source"], ["features"]),
        helper.make_node("Mul", ["condition", "nought"], ["nothing"]),
        helper.make_node("MatMul", ["source", "first"], ["x"]),
        helper.make_node("Add", ["x", "nothing"], ["weight"]),
    ]
    constants = {"nought": np.zeros((1, 1), np.float32), "first": np.array([[1], [0]], np.float32)}
    outputs = {"features": FEATURES, "weight": {"columns": ["weight"], "units": [""], "widths": [1]}}
    inputs = {"condition": {**MASS, **rows}, "source": {**FEATURES, **rows}}
    return write(path, "template", inputs, outputs, nodes, constants)


def interpolating(path: Path, file: str = "source.h5") -> Path:
    """features = low + (condition - low_condition) * SLOPE, of rows that lie in a file of their own."""
    nodes = [
        helper.make_node("Sub", ["condition", "low_condition"], ["shift"]),
        helper.make_node("MatMul", ["shift", "slope"], ["moved"]),
        helper.make_node("Add", ["low", "moved"], ["features"]),
    ]
    rows = {"drawn": {"kind": "rows", "group": "low", "order": "turn", "file": file}}
    inputs = {"condition": TARGET, "low": {**FEATURES, **rows}, "low_condition": {**MASS, **rows}}
    return write(path, "template", inputs, {"features": FEATURES}, nodes, {"slope": SLOPE})


def score(path: Path, weight: float = 1.0, means: Port | None = None, **metadata: Any) -> Path:
    """score = weight * (x + 2 y); the fitted range is [0, 1] in both features.

    `means` is what its output says of its numbers; files of earlier versions say nothing.
    """
    nodes = [helper.make_node("MatMul", ["features", "weight"], ["score"])]
    output = {"score": {"columns": ["score"], "units": [""], "widths": [1], **(means or {})}}
    constants = {"weight": np.array([[weight], [2 * weight]], dtype=np.float32)}
    metadata = {"fitted_range": {"x": [0.0, 1.0], "y": [0.0, 1.0]}, **metadata}
    return write(path, "score", {"features": FEATURES}, output, nodes, constants, **metadata)


def encoder(path: Path) -> Path:
    """latent = (x - m, y, m), a column of three numbers."""
    nodes = [
        helper.make_node("MatMul", ["features", "turned"], ["one"]),
        helper.make_node("MatMul", ["condition", "lifted"], ["other"]),
        helper.make_node("Add", ["one", "other"], ["latent"]),
    ]
    constants = {
        "turned": np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32),
        "lifted": np.array([[-1, 0, 1]], dtype=np.float32),
    }
    output = {"latent": {"columns": ["latent"], "units": [""], "widths": [3]}}
    return write(path, "encoder", {"features": FEATURES, "condition": MASS}, output, nodes, constants)


def foreign(path: Path) -> Path:
    """A sound ONNX file of somebody else's."""
    ours = onnx.load(score(path))
    ours.producer_name = "pytorch"
    del ours.metadata_props[:]
    onnx.save(ours, path)
    return path


def check_vectors(path: Path) -> Path:
    """The check.npz beside a `template` or `score` graph, from the closed form."""
    random = np.random.default_rng(0)
    if path.stem == "template":
        feeds = {"noise": random.normal(size=(64, 2)), "condition": random.uniform(3.3, 3.7, (64, 1))}
        expected = {"features": feeds["noise"] @ SPREAD + feeds["condition"] @ SLOPE}
    else:
        feeds = {"features": random.uniform(size=(64, 2))}
        expected = {"score": feeds["features"] @ [[1.0], [2.0]]}
    vectors = {f"{path.stem}.input.{name}": values.astype(np.float32) for name, values in feeds.items()}
    vectors |= {f"{path.stem}.output.{name}": values.astype(np.float32) for name, values in expected.items()}
    width = next(iter(expected.values())).shape[1]
    vectors |= {f"{path.stem}.atol": np.full(width, 1e-5), f"{path.stem}.rtol": np.array(1e-5)}
    np.savez(path.with_name("check.npz"), **vectors)
    return path.with_name("check.npz")

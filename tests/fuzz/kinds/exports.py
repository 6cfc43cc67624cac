"""Exported files: damaged ONNX files, metadata, weights and check vectors, and wrong digests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from sideband.infer.metadata import STRUCTURED
from tests.fuzz import damage, oracles
from tests.fuzz.material import Random, copy, pick, vouch
from tests.fuzz.verdict import Case, Ran

Array = np.ndarray[Any, Any]
REFUSED, EITHER = frozenset({2}), frozenset({0, 2})
OUT = ("--out", "out.h5", "--threads", "1")
TIMED = (
    "--batches",
    "10",
    "--repeats",
    "1",
    "--seconds",
    "0.001",
    "--file-events",
    "10",
    "--threads",
    "1",
    "--out",
    "out.json",
)


def _bytes(random: Random, path: Path) -> str:
    return damage.file(random, path)


def _metadata(random: Random, path: Path) -> str:
    """Edit one value, as its text or as what it means."""
    model = onnx.load(path)
    entry = pick(random, model.metadata_props)
    if entry.key in STRUCTURED and random.random() < 0.7:
        value, said = damage.tree(random, json.loads(entry.value))
        entry.value = json.dumps(value, default=str)
    elif random.random() < 0.2:
        said = "removed"
        model.metadata_props.remove(entry)
    else:
        said = entry.value = str(
            pick(
                random, ("", "score", "template", "[" * 5000, "1" * 5000, "-1", "NaN", "é", "sideband", "{}", "2" * 19)
            )
        )
    said = f"metadata {entry.key}: {said:.60}"
    path.write_bytes(model.SerializeToString())
    return said


def _weights(random: Random, path: Path) -> str:
    """Weights that are not finite, huge, of another type, or simply different."""
    model = onnx.load(path)
    tensor = pick(random, model.graph.initializer)
    values: Array = numpy_helper.to_array(tensor).copy()
    value = pick(random, (np.nan, np.inf, 1e30, 0.0, 7.0))
    values[0, 0] = value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path.write_bytes(model.SerializeToString())
    return f"weight {value} in {tensor.name}"


def _graph(random: Random, path: Path) -> str:
    """Another graph under the same metadata."""
    model = onnx.load(path)
    way = pick(random, ("producer", "name", "width", "type", "operator", "external", "opset", "rank", "no nodes"))
    port = model.graph.input[0]
    kind = port.type.tensor_type
    changes: dict[str, Any] = {
        "producer": lambda: setattr(model, "producer_name", "pytorch"),
        "name": lambda: setattr(port, "name", "other"),
        "width": lambda: setattr(kind.shape.dim[1], "dim_value", 3),
        "type": lambda: setattr(kind, "elem_type", onnx.TensorProto.DOUBLE),
        "operator": lambda: setattr(model.graph.node[0], "op_type", pick(random, ("Nope", "Loop", "Add", "Softmax"))),
        "external": lambda: setattr(model.graph.initializer[0], "data_location", onnx.TensorProto.EXTERNAL),
        "opset": lambda: setattr(model.opset_import[0], "version", pick(random, (0, 1, 99, 2**40))),
        "rank": lambda: kind.shape.dim.add(),
        "no nodes": lambda: model.graph.ClearField("node"),
    }
    changes[way]()
    path.write_bytes(model.SerializeToString())
    return f"graph with another {way}"


def _record(random: Random, path: Path) -> str:
    """Damage export.json."""
    record = path.with_name("export.json")
    text = pick(
        random,
        ("", "[]", "{}", "null", "[1]", '[{"file": 1}]', "[" * 5000, f'[{{"file": "{path.name}", "sha256": "0"}}]'),
    )
    record.write_text(text)
    return f"export.json holds {text:.40}"


def _vectors(random: Random, path: Path) -> str:
    """Damage check.npz, as bytes or as arrays."""
    file = path.with_name("check.npz")
    if random.random() < 0.5:
        return damage.file(random, file)
    with np.load(file) as stored:
        held: dict[str, Any] = {name: stored[name] for name in stored}
    name = pick(random, list(held))
    value = held.pop(name)
    way = pick(
        random,
        ("missing", "empty", "nan", "negative", "other type", "objects", "longer", "wider", "off", "loose", "scalar"),
    )
    ways: dict[str, Any] = {
        "empty": lambda: value[:0] if value.ndim else np.zeros(0),
        "nan": lambda: np.full_like(value, np.nan),
        "negative": lambda: -value,
        "other type": lambda: value.astype("f2"),
        "objects": lambda: np.array([{}], dtype=object),
        "longer": lambda: np.concatenate([value, value]) if value.ndim else value,
        "wider": lambda: value[..., None],
        "off": lambda: value + np.asarray(pick(random, (1e-6, 1.0)), value.dtype),
        "loose": lambda: value * np.asarray(1e9, value.dtype),
        "scalar": lambda: np.float32(1),
    }
    if way != "missing":
        held[name] = ways[way]()
    np.savez(file, **held)
    return f"{name} {way}"


def light(random: Random, base: Path) -> Case:
    """Run any command of `infer` on a changed export."""
    name = pick(random, ("template", "score"))
    copy(base, name, "task.h5", "template.h5")
    path = Path(name, f"{name}.onnx")
    way = pick(random, (_bytes, _bytes, _metadata, _metadata, _metadata, _weights, _graph, _record, _vectors, _vectors))
    original = path.read_bytes()
    what = way(random, path)
    digest = "as it was" if path.is_file() else ""
    if path.is_file() and path.read_bytes() != original:
        digest = pick(random, ("", "absent", "absent", "renewed", "renewed"))
    if digest == "absent":
        path.with_name("export.json").unlink()
    elif digest == "renewed":
        vouch(path)
    statuses = EITHER if digest else REFUSED
    what = f"{name}: {what}{f', digest {digest}' if digest else ', against its digest'}"
    draw = 0.0 if way is _vectors else random.random()
    if draw < 0.25:
        allowed = statuses | {1} if digest else statuses
        return Case(f"check {what}", ("infer", "check", str(path)), (), allowed, lambda ran: _checked(path, ran))
    if draw < 0.4:
        command: tuple[str, ...] = ("infer", "describe", str(path))
        return Case(f"describe {what}", command, (), statuses, lambda ran: "" if "sha256" in ran.out else "no digest")
    if draw < 0.45:
        command = ("infer", "throughput", str(path), "--task", "task.h5", *TIMED)
        return Case(f"throughput {what}", command, ("out.json",), statuses, lambda ran: oracles.numbers("out.json"))
    if name == "score":
        command = ("infer", "score", str(path), "--events", "task.h5", "--group", "test", *OUT)
        return Case(f"score {what}", command, ("out.h5",), statuses, lambda ran: _scored(path))
    expect = ("--expect", "template.h5") if random.random() < 0.3 else ()
    command = ("infer", "template", str(path), "--task", "task.h5", *expect, *OUT)
    allowed = statuses | {1} if expect and digest else statuses
    return Case(f"template {what}", command, ("out.h5",), allowed, lambda ran: _drawn(path, ran))


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def _scored(path: Path) -> str:
    told, made = oracles.table("task.h5", "test", ("x", "y")), oracles.scored("out.h5")
    (found,) = _session(path).run(None, {"features": np.stack([told["x"], told["y"]], axis=1)})
    return "" if np.allclose(found[:, 0], made[0], rtol=1e-5) else "scores are not those that ONNX Runtime gives"


def _drawn(path: Path, ran: Ran) -> str:
    if ran.status == 1:
        return "" if "failed: " in ran.err else "status 1 without a reason"
    made = oracles.table("out.h5", "/", ("m", "x", "y"))
    metadata = _session(path).get_modelmeta().custom_metadata_map
    drawn = [
        oracles.generator(int(metadata["seed"]), "noise", block).standard_normal((1000, 2), np.float32)
        for block in range(-(-len(made["m"]) // 1000))
    ]
    feeds = {"noise": np.concatenate(drawn)[: len(made["m"])], "condition": made["m"][:, None]}
    (found,) = _session(path).run(None, feeds)
    same = np.allclose(found, np.stack([made["x"], made["y"]], axis=1), rtol=1e-4, atol=1e-4)
    return "" if same else "events are not those that ONNX Runtime gives"


def _checked(path: Path, ran: Ran) -> str:
    """Whether the verdict of `check` agrees with numpy."""
    stem = path.stem
    with np.load(path.with_name("check.npz")) as stored:
        held = {name.removeprefix(f"{stem}."): stored[name] for name in stored}
    feeds = {name.removeprefix("input."): values for name, values in held.items() if name.startswith("input.")}
    (output,) = (name for name in held if name.startswith("output."))
    (found,), expected = _session(path).run([output.removeprefix("output.")], feeds), held[output]
    good = found.size > 0 and bool(
        (np.abs(found - expected) <= 1.001 * (held["atol"] + held["rtol"] * np.abs(expected))).all()
    )
    return (
        ""
        if good == (ran.status == 0)
        else f"status {ran.status}, and the vectors are {'' if good else 'not '}reproduced"
    )

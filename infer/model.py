"""Open an exported ONNX file of Sideband, say what it is, run it, and check it against its own vectors."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metadata
from .called import called
from .errors import BadInput, in_one_line
from .metadata import STRUCTURED as STRUCTURED
from .metadata import Port as Port

try:
    import onnxruntime
except ImportError as error:
    raise BadInput(
        "onnxruntime is not installed; install Sideband with its extra 'infer' for CPUs, or 'infer-gpu' for NVIDIA "
        "GPUs, never both"
    ) from error

onnxruntime.set_default_logger_severity(4)  # as `session_options` does for what sessions print

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# What numpy and zipfile raise, by where a .npz file is damaged.
DAMAGED = (OSError, ValueError, KeyError, EOFError, TypeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
LARGEST_FILE = 2**31  # bytes: no ONNX file without external data is larger


class Model:
    """One exported graph in an ONNX Runtime session.

    Attributes:
        metadata: the file's `metadata_props`, those in `STRUCTURED` parsed.
        verified: whether the file's digest was compared with the one in export.json beside it.
        role: "template", "signal", "score", "density" or "encoder".
        inputs, outputs: what the graph takes and gives, by name, in order.
        sha256: digest of the file.
        provider: the execution provider in use, asserted.
    """

    def __init__(self, path: str | Path, provider: str = "cpu", threads: int = 1) -> None:
        """Open `path`.

        Args:
            path: an ONNX file written by `python -m export`.
            provider: "cpu" or "cuda"; there is no fallback from one to the other.
            threads: threads inside one call. Mass production uses 1 and one caller a core instead.

        Raises:
            BadInput: no such file, not an ONNX file, not one of ours, or the provider is not to be had.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise BadInput(f"{path}: no such file")
        if self.path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path}: larger than any ONNX file can be; is it a file of `{called('export')}`?")
        content = self.path.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.verified = _verified(self.path, self.sha256)
        self.session = _session(content, path, provider, threads)
        self.provider = provider
        self.metadata, self.inputs, self.outputs = _metadata(self.session, path)
        self.role: str = self.metadata["role"]
        if provider == "cuda" and self.metadata["cpu_only"]:
            raise BadInput(
                f"{path}: tree ensembles run on the CPU provider only; use --provider cpu, or train the mlp classifier"
            )

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """One call: inputs `[N, columns]` float32 by name → outputs `[N, columns]` float32 by name.

        Raises:
            BadInput: ONNX Runtime cannot run the graph.
        """
        try:
            return dict(zip(self.outputs, self.session.run(list(self.outputs), dict(feeds)), strict=True))
        except Exception as error:  # onnxruntime raises its own exception types, one per failure
            raise BadInput(
                f"{self.path}: ONNX Runtime cannot run it ({in_one_line(error)}); export it again, or give fewer "
                "events a call"
            ) from error

    def finite(self, feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """As `run`; also raises `BadInput` where an output is not finite, or not of its shape."""
        found = self.run(feeds)
        rows = len(next(iter(feeds.values())))
        for name, values in found.items():
            shape = (rows, self.outputs[name].width)
            wrong = "NaN or infinite" if values.shape == shape else f"{shape} expected, but {values.shape}"
            if values.shape != shape or not np.isfinite(values).all():
                raise BadInput(f"{self.path}: gives {wrong} {name}; it is damaged, export it again")
        return found

    def columns(self, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Outputs as event columns, by column name."""
        return {
            column: values
            for name, port in self.outputs.items()
            for column, values in port.split(outputs[name]).items()
        }

    def by_output(self, table: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """A table `[…, width]` of all outputs side by side, cut into one table an output."""
        edges = np.cumsum([port.width for port in self.outputs.values()])[:-1]
        return dict(zip(self.outputs, np.split(table, edges, axis=-1), strict=True))

    def widths(self) -> dict[str, int]:
        """How many numbers an event each input and output column holds."""
        ports = [*self.inputs.values(), *self.outputs.values()]
        return {column: width for port in ports for column, width in zip(port.columns, port.widths, strict=True)}

    def units(self) -> dict[str, str]:
        """The unit of each input and output column."""
        ports = [*self.inputs.values(), *self.outputs.values()]
        return {column: unit for port in ports for column, unit in zip(port.columns, port.units, strict=True)}


def session_options(threads: int) -> Any:
    """Session options used everywhere: a fixed number of threads, and none that spins."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures are raised and reported by us
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(content: bytes, path: str | Path, provider: str, threads: int) -> Any:
    if provider not in PROVIDERS:
        raise BadInput(f"provider '{provider}': choose one of {', '.join(PROVIDERS)}")
    wanted: Any = PROVIDERS[provider]
    if wanted not in onnxruntime.get_available_providers():
        raise BadInput(
            f"{wanted} was asked for, but this onnxruntime {onnxruntime.__version__} lacks it; "
            "install onnxruntime-gpu in place of onnxruntime, or use --provider cpu"
        )
    if provider == "cuda":
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        wanted = (wanted, {"use_tf32": 0})  # TF32 moves samples by 1e-3, far beyond the tolerances in the file
    try:
        session = onnxruntime.InferenceSession(content, session_options(threads), providers=[wanted])
    except Exception as error:  # onnxruntime raises its own exception types, one per failure
        raise BadInput(
            f"{path}: ONNX Runtime cannot open it ({in_one_line(error)}); is it a file of `{called('export')}`?"
        ) from error
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise BadInput(
            f"{PROVIDERS[provider]} was asked for and did not start (in use: {', '.join(session.get_providers())}); "
            "check the driver and the CUDA 13 and cuDNN 9 libraries, or use --provider cpu"
        )
    return session


def _verified(path: Path, sha256: str) -> bool:
    """Whether export.json beside `path` knows the file; raises `BadInput` if by another digest."""
    record = path.with_name("export.json")
    if not record.is_file():
        return False
    try:
        known = {entry["file"]: entry["sha256"] for entry in json.loads(record.read_bytes())}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{record}: damaged; export the files beside it again") from error
    if path.name not in known:
        return False
    if known[path.name] != sha256:
        raise BadInput(f"{path}: is not the file that was exported: its SHA-256 is not in {record}; export it again")
    return True


def _metadata(session: Any, path: str | Path) -> tuple[dict[str, Any], dict[str, Port], dict[str, Port]]:
    """What a file says of itself, and its inputs and outputs, which are those of its graph."""
    try:
        meta = session.get_modelmeta()
        producer, properties = meta.producer_name, meta.custom_metadata_map
        nodes = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
        tables = {side: [(node.name, node.type, node.shape[1:]) for node in nodes[side]] for side in nodes}
    except UnicodeDecodeError as error:  # each is decoded when it is asked for
        raise BadInput(f"{path}: its metadata is not text; it is damaged, export it again") from error
    if producer != "sideband":
        raise BadInput(f"{path}: an ONNX file, but not one of Sideband's (its producer is '{producer}')")
    found = metadata.parse(properties, path)
    ports = {side: metadata.ports(found[side]) for side in tables}
    for side, known in tables.items():
        if known != [(name, "tensor(float)", [port.width]) for name, port in ports[side].items()]:
            raise BadInput(f"{path}: its {side} are not those its metadata names; export it again")
    return found, ports["inputs"], ports["outputs"]


def check(path: str | Path, provider: str = "cpu") -> dict[str, float]:
    """Run the check vectors in `check.npz` beside `path` and compare.

    Returns:
        Of each output the largest |found - expected| / (atol + rtol |expected|), with the tolerances stored beside
        the vectors: up to 1 the file reproduces itself.

    Raises:
        BadInput: no check vectors for this file, or damaged ones.
    """
    model = Model(path, provider)
    vectors = _vectors(model)
    stem = model.path.stem
    found = model.run({name: vectors[f"{stem}.input.{name}"] for name in model.inputs})
    atol, rtol = model.by_output(vectors[f"{stem}.atol"]), float(vectors[f"{stem}.rtol"])
    return {name: deviation(found[name], vectors[f"{stem}.output.{name}"], atol[name], rtol) for name in model.outputs}


def _vectors(model: Model) -> dict[str, NDArray[Any]]:
    """The check vectors of a model by their names in the file, with the shapes and tolerances that it must have."""
    path, stem = model.path.with_name("check.npz"), model.path.stem
    if not path.is_file():
        raise BadInput(f"{path}: no such file; keep the check vectors beside the model, or export it again")
    widths = {f"{stem}.input.{name}": port.width for name, port in model.inputs.items()}
    widths |= {f"{stem}.output.{name}": port.width for name, port in model.outputs.items()}
    tolerances = {f"{stem}.atol": (sum(port.width for port in model.outputs.values()),), f"{stem}.rtol": ()}
    damaged = BadInput(f"{path}: damaged check vectors; export {model.path.name} again")
    try:
        with open(path, "rb") as handle, np.load(handle) as stored:
            if f"{stem}.atol" not in stored:
                raise BadInput(f"{path}: holds no vectors for {model.path.name}; export it again")
            vectors = {name: stored[name] for name in (*widths, *tolerances)}
    except DAMAGED as error:
        raise damaged from error
    rows = len(vectors[next(iter(widths))]) if vectors[next(iter(widths))].ndim else 0
    tables = all(
        vectors[name].shape == (rows, width) and vectors[name].dtype == np.float32 for name, width in widths.items()
    )
    known = model.metadata["parity"]
    limits = {f"{stem}.atol": known.get("atol", np.inf), f"{stem}.rtol": known.get("rtol", np.inf)}
    for name, shape in tolerances.items():
        values = vectors[name]
        right = values.shape == shape and values.dtype.kind == "f" and np.isfinite(values).all() and (values >= 0).all()
        # Looser tolerances than those the file was exported with would pass anything.
        tables = tables and bool(right) and bool((values <= np.multiply(limits[name], 1 + 1e-6)).all())
    if not tables:
        raise damaged
    return vectors


def deviation(found: NDArray[Any], expected: NDArray[Any], atol: float | NDArray[Any], rtol: float) -> float:
    """The largest difference in units of the tolerance; infinite where it is not a number, or of nothing."""
    if found.shape != expected.shape or not found.size:
        return float("inf")
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float((np.abs(found - expected) / (atol + rtol * np.abs(expected))).max())
    return ratio if ratio == ratio else float("inf")

"""Open an exported ONNX file of Sideband, say what it is, run it, and check it against its own vectors."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infer.columns import split
from infer.errors import BadInput, in_one_line

try:
    import onnxruntime
except ImportError as error:
    raise BadInput(
        "onnxruntime is not installed: pip install '.[infer]' for CPUs or '.[infer-gpu]' for NVIDIA GPUs, never both"
    ) from error

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
ROLES = ("template", "score", "density")

# The values of metadata_props that are JSON; the others are plain text.
STRUCTURED = frozenset(
    {
        "inputs",
        "outputs",
        "window",
        "mass_range",
        "settings",
        "fitted_range",
        "flop_per_event",
        "parity",
        "versions",
        "cpu_only",
    }
)


@dataclass(frozen=True)
class Port:
    """One input or output of a graph, `[N, width]`: its columns side by side, their names, units and widths.

    A column is one number an event, or a wide one: the voxels of a shower.
    """

    columns: tuple[str, ...]
    units: tuple[str, ...]
    widths: tuple[int, ...]

    @property
    def width(self) -> int:
        """Numbers an event."""
        return sum(self.widths)

    def split(self, table: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """A table `[N, width]` as columns by name."""
        return split(table, dict(zip(self.columns, self.widths, strict=True)))


class Model:
    """One exported graph in an ONNX Runtime session.

    Attributes:
        metadata: the file's `metadata_props`, those in `STRUCTURED` parsed.
        role: "template", "score" or "density".
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
        content = self.path.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.session = _session(content, path, provider, threads)
        self.provider = provider
        self.metadata = _metadata(self.session, path)
        self.role: str = self.metadata["role"]
        if provider == "cuda" and self.metadata["cpu_only"]:
            raise BadInput(
                f"{path}: tree ensembles run on the CPU provider only; use --provider cpu, or train the mlp classifier"
            )
        self.inputs = _ports(self.metadata["inputs"])
        self.outputs = _ports(self.metadata["outputs"])

    def run(self, feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """One call: inputs `[N, columns]` float32 by name → outputs `[N, columns]` float32 by name."""
        return dict(zip(self.outputs, self.session.run(list(self.outputs), dict(feeds)), strict=True))

    def columns(self, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Outputs as event columns, by column name."""
        return {
            column: values
            for name, port in self.outputs.items()
            for column, values in port.split(outputs[name]).items()
        }

    def widths(self) -> dict[str, int]:
        """How many numbers an event each output column holds."""
        return {
            column: width
            for port in self.outputs.values()
            for column, width in zip(port.columns, port.widths, strict=True)
        }

    def units(self) -> dict[str, str]:
        """The unit of each input and output column."""
        ports = [*self.inputs.values(), *self.outputs.values()]
        return {column: unit for port in ports for column, unit in zip(port.columns, port.units, strict=True)}


def session_options(threads: int) -> Any:
    """Session options used everywhere: a fixed thread count and no spinning, which is ruinous on shared nodes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
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
            f"{path}: ONNX Runtime cannot open it ({in_one_line(error)}); is it a file of `python -m export`?"
        ) from error
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise BadInput(
            f"{PROVIDERS[provider]} was asked for and did not start (in use: {', '.join(session.get_providers())}); "
            "check the driver and the CUDA 13 and cuDNN 9 libraries, or use --provider cpu"
        )
    return session


def _metadata(session: Any, path: str | Path) -> dict[str, Any]:
    meta = session.get_modelmeta()
    if meta.producer_name != "sideband":
        raise BadInput(f"{path}: an ONNX file, but not one of Sideband's (its producer is '{meta.producer_name}')")
    try:
        metadata = {k: json.loads(v) if k in STRUCTURED else v for k, v in meta.custom_metadata_map.items()}
        complete = metadata["role"] in ROLES and metadata.keys() >= STRUCTURED
    except (ValueError, KeyError):
        complete = False
    if not complete:
        raise BadInput(f"{path}: its Sideband metadata is damaged or of another version; export it again")
    graph = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    for side, ports in graph.items():
        if [port.name for port in ports] != list(metadata[side]):
            raise BadInput(f"{path}: its {side} are not those its metadata names; export it again")
    return metadata


def _ports(described: Mapping[str, Any]) -> dict[str, Port]:
    return {
        name: Port(
            tuple(port["columns"]), tuple(port["units"]), tuple(port.get("widths") or [1] * len(port["columns"]))
        )
        for name, port in described.items()
    }


def check(path: str | Path, provider: str = "cpu") -> dict[str, float]:
    """Run the check vectors in `check.npz` beside `path` and compare.

    Returns:
        Of each output the largest |found - expected| / (atol + rtol |expected|), with the tolerances stored beside
        the vectors: up to 1 the file reproduces itself.

    Raises:
        BadInput: no check vectors for this file.
    """
    model = Model(path, provider)
    vectors = model.path.with_name("check.npz")
    if not vectors.is_file():
        raise BadInput(f"{vectors}: no such file; keep the check vectors beside the model, or export it again")
    stem = model.path.stem
    with np.load(vectors) as stored:
        if f"{stem}.atol" not in stored:
            raise BadInput(f"{vectors}: holds no vectors for {model.path.name}; export it again")
        found = model.run({name: stored[f"{stem}.input.{name}"] for name in model.inputs})
        atol, rtol = stored[f"{stem}.atol"], float(stored[f"{stem}.rtol"])
        expected = {name: stored[f"{stem}.output.{name}"] for name in model.outputs}
    return {name: deviation(found[name], expected[name], atol, rtol) for name in model.outputs}


def deviation(found: NDArray[Any], expected: NDArray[Any], atol: float | NDArray[Any], rtol: float) -> float:
    """The largest difference in units of the tolerance, infinite where anything is not finite."""
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    return float((np.abs(found - expected) / (atol + rtol * np.abs(expected))).max(initial=0.0))

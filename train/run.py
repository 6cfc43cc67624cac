"""What a fit is given besides its data: seed, device, place for checkpoints, record, and a voice."""

import hashlib
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress as Bar

from infer import provenance
from infer.errors import BadInput
from train.tracking import Record

SAY_SECONDS = 15.0


def derived_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose, from the run's seed."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def open_device(name: str) -> torch.device:
    """The device "cpu" or "cuda", if it is there; raises `BadInput` if it is not."""
    if name not in ("cpu", "cuda"):
        raise BadInput(f"device '{name}': choose cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            f"device cuda was asked for, but torch {torch.__version__} finds no CUDA GPU; "
            "install torch's CUDA build and NVIDIA's driver, or use --device cpu"
        )
    return torch.device(name)


@dataclass
class Progress:
    """Where a fit stands, besides its weights."""

    epoch: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    best: list[float] = field(default_factory=list)
    best_epoch: list[int] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    done: bool = False


@dataclass
class Run:
    """The surroundings of one fit.

    Args:
        label: what progress lines call it.
        seed: the task's seed; every random number of the fit follows from it.
        device: where tensors live.
        checkpoints: folder for unfinished work, outside the declared outputs.
        record: settings, curves and numbers go here, and from there to MLflow.
        checkpoint_seconds: least time between two checkpoints.
    """

    label: str
    seed: int
    device: torch.device
    checkpoints: Path
    record: Record
    checkpoint_seconds: float = 10.0
    fits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._said = time.monotonic()
        self._bar: Bar | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show progress while the block runs: a bar on a terminal, a line now and then in a log."""
        if not sys.stderr.isatty():
            yield
            return
        with Bar(transient=True) as self._bar:
            yield
        self._bar = None

    def seeded(self, name: str) -> None:
        """Seed torch for building the model `name`, so that it starts the same after a kill."""
        torch.manual_seed(derived_seed(self.seed, name, "weights"))

    def say(self, text: str) -> None:
        """Print one line of progress."""
        print(f"{self.label}: {text}", flush=True)

    def epoch(self, name: str, epoch: int, epochs: int, seconds: float, curve: dict[str, float]) -> None:
        """Note one finished epoch: curves to the record, time left to the reader."""
        self.record.metrics({f"{name}.{key}": value for key, value in curve.items()}, step=epoch)
        values = "  ".join(f"{key} {value:.4f}" for key, value in curve.items())
        self.progress(name, epoch, epochs, f"{values}  at most {seconds / epoch * (epochs - epoch):.0f} s left")

    def progress(self, name: str, done: int, total: int, text: str = "") -> None:
        """Show how far `name` has got: on the bar, or as a line now and then."""
        if self._bar is not None:
            task = next((task.id for task in self._bar.tasks if task.description == name), None)
            task = self._bar.add_task(name, total=total) if task is None else task
            self._bar.update(task, completed=done)
        elif time.monotonic() - self._said > SAY_SECONDS:
            self.say(f"{name} {done}/{total}  {text}")
            self._said = time.monotonic()

    def fitted(self, name: str, progress: Progress, events_per_epoch: int) -> None:
        """Note one finished fit: what it cost."""
        epochs = progress.epoch
        self.fits[name] = {
            "epochs": epochs,
            "best_epoch": progress.best_epoch,
            "validation": [best if math.isfinite(best) else None for best in progress.best],
            "seconds": progress.seconds,
            "cpu_seconds": progress.cpu_seconds,
            "events_per_second": events_per_epoch * epochs / progress.seconds if progress.seconds else None,
        }
        self.say(f"{name} fitted in {progress.seconds:.1f} s, {epochs} epochs")

    def peak_memory_mib(self) -> float:
        """Peak memory of the fit in MiB: allocated on the GPU, or resident on the CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return provenance.peak_memory_mib()

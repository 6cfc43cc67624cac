"""What a fit needs besides its data: seed, device, checkpoints, record, and progress on the screen."""

import hashlib
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.progress import Progress as Bar
from torch import Tensor, nn

from sideband.benchmarks.tracking.journal import Record
from sideband.infer import events, provenance
from sideband.infer.errors import BadInput, in_one_line
from sideband.train.files import Damaged

T = TypeVar("T")

PROGRESS_SECONDS = 15.0  # between two lines in a log
MARK = "of"  # the file in a folder of checkpoints that names the work they belong to
CHECKPOINTS = (MARK, "*.pt", "*.npz", ".*.tmp", ".*.lock")  # the files of such a folder
LONGEST_NAME = 255  # bytes


def derived_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose, from the run's seed."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def open_device(name: str) -> torch.device:
    """Open the device "cpu" or "cuda"; raises `BadInput` where there is none."""
    if name not in ("cpu", "cuda"):
        raise BadInput(f"device '{name}': choose cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            f"device cuda: torch {torch.__version__} finds no CUDA GPU; "
            "install torch's CUDA build and NVIDIA's driver, or use --device cpu"
        )
    return torch.device(name)


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before any work is done for it; leaves nothing there.

    Raises:
        BadInput: its name is too long, a file is in its way, or the operating system allows no file there.
    """
    if max((len(os.fsencode(part)) for part in folder.parts), default=0) > LONGEST_NAME:
        raise BadInput(f"{folder}: cannot be written (a name is over {LONGEST_NAME} bytes long); choose a shorter one")
    there = next(place for place in (folder, *folder.parents, Path()) if os.path.lexists(place))
    if not there.is_dir():
        raise BadInput(f"{folder}: cannot be written ({there} is not a folder); choose another place")
    try:
        with tempfile.TemporaryFile(dir=there, buffering=0) as file:
            file.write(bytes(4096))
    except OSError as error:
        reason = error.strerror or in_one_line(error)
        raise BadInput(f"{folder}: cannot be written ({reason}); free space or choose another place") from error


def check_checkpoints(folder: Path) -> None:
    """Refuse a folder for checkpoints that holds anything else, because a finished fit removes it.

    Raises:
        BadInput: it holds other files, or cannot be written to.
    """
    check_folder(folder)
    there = set(folder.iterdir()) if folder.is_dir() else set()
    ours = {path for pattern in CHECKPOINTS for path in folder.glob(pattern) if path.is_file()}
    named = {path for path in there if not path.name.startswith(".")}
    if there - ours or (named and not (folder / MARK).exists()):
        raise BadInput(f"{folder}: holds other files than checkpoints; give a folder of their own")


def remove_checkpoints(folder: Path) -> None:
    """Remove a folder of checkpoints, its mark last, so that what a kill leaves behind is still known as ours."""
    for path in folder.glob("*"):
        if path.name != MARK:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn torch's errors about a lack of memory into MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise MemoryError(in_one_line(error)) from error
        raise


@dataclass
class Progress:
    """How far a fit has got, apart from its weights.

    Args:
        step: finished steps.
        seconds, cpu_seconds: time spent, over all resumptions.
        best, best_step: lowest criterion of each member, and the finished steps when it was reached.
        least: where the held-out events are judged in halves, the lowest criterion of each half `[2][members]`, summed
            over its events.
        crossed: that of the other half at the same look. The look was chosen without these events, so it is no better
            than on new ones.
        first, lowest: mean criterion of the members before the first step, and the last one that was a gain.
        waited: looks at the held-out events since then.
        drops: plateaus so far.
        history: losses after each look, by name.
        done: whether training has ended.
        converged: whether it ended by itself, not for lack of steps; None where nothing told when to end.
    """

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    best: list[float] = field(default_factory=list)
    best_step: list[int] = field(default_factory=list)
    least: list[list[float]] = field(default_factory=list)
    crossed: list[list[float]] = field(default_factory=list)
    first: float = math.inf
    lowest: float = math.inf
    waited: int = 0
    drops: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    done: bool = False
    converged: bool | None = None

    def cross(self, half: int, own: Sequence[float], other: Sequence[float]) -> None:
        """Take in a look: the criterion of a half and of the other one, for each member."""
        for member, (mine, theirs) in enumerate(zip(own, other, strict=True)):
            if mine < self.least[half][member]:
                self.least[half][member], self.crossed[half][member] = mine, theirs


@dataclass
class Run:
    """The surroundings of one fit.

    Args:
        label: its name in progress lines.
        seed: the task's seed, from which every random number of the fit follows.
        device: where its tensors are.
        checkpoints: folder for unfinished work, apart from the outputs.
        record: takes settings, curves and numbers, and passes them on to MLflow.
        checkpoint_seconds: least time between two checkpoints.
        work: everything that checkpoints depend on; those of other work are ignored.
    """

    label: str
    seed: int
    device: torch.device
    checkpoints: Path
    record: Record
    checkpoint_seconds: float = 10.0
    work: str = ""
    fits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last_line = time.monotonic()
        self._bar: Bar | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show progress while the block runs: a bar on a terminal, occasional lines in a log."""
        if not sys.stderr.isatty():
            yield
            return
        with Bar(transient=True) as self._bar:
            yield
        self._bar = None

    def unfinished(self, name: str, open_: Callable[[Path], T]) -> T | None:
        """Open the checkpoint `name` with `open_`; None if this very work has left none, or a damaged one."""
        path = self.checkpoints / name
        if not (path.is_file() and self._marked()):
            return None
        try:
            return open_(path)
        except Damaged as error:
            self.say(f"{path} is damaged ({error}); its fit starts over")
            return None

    @contextmanager
    def checkpoint(self, name: str) -> Iterator[Path]:
        """Yield a temporary file that becomes the checkpoint `name` if the block succeeds."""
        if not self._marked():
            remove_checkpoints(self.checkpoints)
            with events.atomic(self.checkpoints / MARK) as temporary:
                temporary.write_text(self.work)
        with events.atomic(self.checkpoints / name) as temporary:
            yield temporary

    def _marked(self) -> bool:
        mark = self.checkpoints / MARK
        return mark.is_file() and mark.read_bytes() == self.work.encode()

    def seeded(self, name: str) -> None:
        """Seed torch before the model `name` is built, so that it starts from the same weights after a kill."""
        torch.manual_seed(derived_seed(self.seed, name, "weights"))

    def say(self, text: str) -> None:
        """Print one line of progress."""
        print(f"{self.label}: {text}", flush=True)

    def look(self, name: str, step: int, steps: int, seconds: float, curve: dict[str, float]) -> None:
        """Record the curves after so many of the steps, and show how much time is left."""
        self.record.metrics({f"{name}.{key}": value for key, value in curve.items()}, step=step)
        values = "  ".join(f"{key} {value:.5g}" for key, value in curve.items())
        self.progress(name, step, steps, f"{values}  at most {seconds / step * (steps - step):.0f} s left")

    def keep(self, name: str, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Told after each look what the fit would end with if it ended now; one who watches a fit overrides it."""

    def progress(self, name: str, done: int, total: int, text: str = "") -> None:
        """Show how far `name` has got: on the bar, or as a line every quarter of a minute."""
        if self._bar is not None:
            task = next((task.id for task in self._bar.tasks if task.description == name), None)
            task = self._bar.add_task(name, total=total) if task is None else task
            self._bar.update(task, completed=done)
        elif time.monotonic() - self._last_line > PROGRESS_SECONDS:
            self.say(f"{name} {done}/{total}  {text}")
            self._last_line = time.monotonic()

    def fitted(self, name: str, progress: Progress, events_per_step: int) -> None:
        """Record what a finished fit cost, and whether it converged."""
        steps = progress.step
        self.fits[name] = {
            "steps": steps,
            "best_step": progress.best_step,
            "converged": progress.converged,
            "validation": [best if math.isfinite(best) else None for best in progress.best],
            "seconds": progress.seconds,
            "cpu_seconds": progress.cpu_seconds,
            "events_per_second": events_per_step * steps / progress.seconds if progress.seconds else None,
        }
        if progress.converged is not None:
            self.record.metrics({f"{name}.converged": float(progress.converged)})
        ending = ", and has not converged" if progress.converged is False else ""
        self.say(f"{name} fitted in {progress.seconds:.1f} s, {steps} steps{ending}")

    def peak_memory_mib(self) -> float:
        """Peak memory of the fit [MiB]: allocated on the GPU, or resident on the CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return provenance.peak_memory_mib()

"""Chunks of events made on many cores, resumed after a kill, and joined into files in our layout."""

import functools
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sideband.benchmarks.simulate.dijets import chunk
from sideband.benchmarks.simulate.dijets.processes import BEAMS, COMMON, Process
from sideband.infer import events, provenance
from sideband.infer.errors import BadInput
from sideband.infer.process import SIGNALS

PRINT_SECONDS = 30.0  # between lines of progress without a terminal
MADE_WITH = ("pythia8mc", "fastjet", "numba", "awkward", "numpy")
PHYSICS = ("processes.py", "source.py", "detector.py", "jets.py", "chunk.py")


@functools.cache
def physics() -> str:
    """A digest of the code and the libraries that make the events, taken once for each process."""
    folder = Path(__file__).parent
    versions = [metadata.version(name) for name in MADE_WITH]
    code = [(folder / name).read_text() for name in PHYSICS]
    return hashlib.sha256(json.dumps([versions, code]).encode()).hexdigest()


@dataclass(frozen=True)
class Order:
    """A file of events to make.

    Args:
        process: what to make.
        events: how many, after the selection.
        out: the file.
        seed: equal seeds give equal events for any number of workers, and a larger file begins with the same ones.
        constituents: how many leading constituents of each jet to keep.
    """

    process: Process
    events: int
    out: Path
    seed: int = 1
    constituents: int = 0

    def identity(self) -> str:
        """A digest of everything that determines the events, except for their number."""
        one = self.process
        inputs = [*one.settings, one.pt_min, one.vetoed, one.label, self.seed, self.constituents, chunk.SIZE, physics()]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]

    @property
    def chunks(self) -> Path:
        """The folder of finished chunks."""
        return self.out.with_name(f".{self.out.name}.{self.identity()}")

    def sizes(self) -> list[int]:
        """The number of events in each chunk."""
        return [self.size(index) for index in range(-(-self.events // chunk.SIZE))]

    def size(self, index: int) -> int:
        """The number of events in a chunk."""
        return min(chunk.SIZE, self.events - index * chunk.SIZE)

    def path(self, index: int) -> Path:
        """The file of a chunk."""
        return self.chunks / f"{index:06d}_{self.size(index)}.h5"


def produce(orders: Sequence[Order], cores: int | None = None) -> None:
    """Make files of events; chunks from earlier runs are kept.

    Args:
        orders: the files.
        cores: number of worker processes; None for one per core.

    Raises:
        BadInput: nothing passes the cut, another file is in the way, or the disk is full.
    """
    for order in orders:
        events.check_output(order.out)
    with ExitStack() as locks:
        for order in orders:
            locks.enter_context(events.sole_writer(order.chunks))
        wanted = [order for order in orders if not _there(order)]
        _fill(wanted, cores or provenance.cores())
        for order in wanted:
            _join(order)
            shutil.rmtree(order.chunks)


def _there(order: Order) -> bool:
    """Whether the file is there already; another file of that name is an error."""
    if not order.out.exists():
        return False
    with events.opened(order.out) as file:
        mass = events.item(file, "m_jj")
        shape = mass.shape if isinstance(mass, h5py.Dataset) else None
        same = events.attribute(file, "identity") == order.identity() and shape == (order.events,)
    if not same:
        raise BadInput(f"{order.out}: is there, and holds other events; remove it or choose another --out")
    print(f"{order.out}: there already")
    return True


def _fill(orders: Sequence[Order], workers: int) -> None:
    """Make the missing chunks."""
    jobs = [(order, index) for order in orders for index in range(len(order.sizes())) if not order.path(index).exists()]
    if not jobs:
        return
    jobs.sort(key=lambda job: -job[0].process.cost)  # so that no slow chunk comes last
    watch = Watch(orders, jobs, workers)
    spawn = get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), spawn, initializer=_start_worker)
    running: dict[Future[float], Order] = {pool.submit(_work, *job, job[0].path(job[1])): job[0] for job in jobs}
    try:
        with watch:
            for done in as_completed(running):
                watch.finished(running[done], done.result())
    except BrokenProcessPool as error:
        raise BadInput(
            "a worker was killed, most likely for lack of memory; what was finished is kept, run the same command "
            "again with fewer --cores"
        ) from error
    except BaseException:
        for worker in active_children():  # chunks appear whole or not at all, so only time is lost
            worker.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Leave signals to the parent, end with it, and keep FastJet's banner off the terminal."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(order: Order, index: int, path: Path) -> float:
    """Make one chunk and write it; returns the CPU seconds it took."""
    start = time.process_time()
    made = chunk.make(order.process, order.seed, index, order.size(index), order.constituents)
    with events.new_file(path) as file:
        events.write(file, made.columns)
        file.attrs.update({"made": made.made, "selected": made.selected, "cross_section": made.cross_section})
    return time.process_time() - start


def _join(order: Order) -> None:
    """Write the file from its chunks, one at a time."""
    with events.new_file(order.out) as file:
        tallies = []
        start = 0
        for path in map(order.path, range(len(order.sizes()))):
            with events.opened(path) as part:
                tallies.append({name: np.array(value) for name, value in part.attrs.items()})
                for name, data in part.items():
                    if not start:
                        _lay_out(file, name, (order.events, *data.shape[1:]))
                    file[name][start : start + len(data)] = data[:]
                start += len(data)
        label = np.full(order.events, order.process.label, np.int8)
        file.create_dataset("label", data=label, compression="gzip")
        file.attrs.update(_description(order, tallies))


def _lay_out(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    chunks = (min(shape[0], 10_000 if len(shape) == 1 else 100), *shape[1:])
    data = file.create_dataset(name, shape, "f4", chunks=chunks, compression="gzip", shuffle=True)
    data.attrs["unit"] = chunk.UNITS.get(name, "")


def _description(order: Order, tallies: list[dict[str, Any]]) -> dict[str, Any]:
    """The attributes of the file."""
    process = order.process
    made, selected = (np.array([tally[name] for tally in tallies], float) for name in ("made", "selected"))
    sigma, error = np.array([tally["cross_section"] for tally in tallies]).T
    share = made / made.sum()
    efficiency = selected.sum() / made.sum()
    total, total_error = float(share @ sigma), float(np.sqrt(share**2 @ error**2))
    spread = np.hypot(total_error / total, np.sqrt((1 - efficiency) / selected.sum()))
    return {
        "what": process.what,
        "made_with": ", ".join(f"{name} {metadata.version(name)}" for name in MADE_WITH[:2])
        + ", particle-flow smearing after Delphes' CMS card",
        "pythia_settings": "; ".join((*COMMON, *process.settings)),
        "selection": f"leading anti-kt R=1.0 jet pT > {1000 * process.pt_min:g} GeV, |eta| < 2.5; mass not cut",
        "seed": order.seed,
        "cross_section_pb": total * efficiency,
        "cross_section_error_pb": total * efficiency * spread,
        "cross_section_of": f"events that pass the selection, in pp at {BEAMS:g} TeV, leading order",
        "selected_of_generated": efficiency,
        "identity": order.identity(),
        "code": provenance.code(),
    }


class Watch:
    """Progress: a bar on a terminal, elsewhere a line every now and then."""

    def __init__(self, orders: Sequence[Order], jobs: Sequence[tuple[Order, int]], workers: int) -> None:
        self.workers, self.total = workers, sum(order.events for order in orders)
        self.left: dict[Order, list[int]] = {order: [] for order in orders}
        for order, index in jobs:
            self.left[order].append(order.size(index))
        self.kept = self.total - sum(map(sum, self.left.values()))
        self.seconds: dict[Order, list[float]] = {order: [] for order in orders}
        self.start = self.printed = time.monotonic()

    def __enter__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True))
        self.task = self.bar.add_task("events", total=self.total, completed=self.kept, left="")
        if sys.stderr.isatty():
            self.bar.start()
        if self.kept:
            print(f"{self.kept:,} events are there from an earlier run", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def finished(self, order: Order, seconds: float) -> None:
        """Count a finished chunk, which took so many CPU seconds."""
        self.seconds[order].append(seconds / self.left[order].pop(0))
        done = self.total - sum(map(sum, self.left.values()))
        now = time.monotonic()
        rate = (done - self.kept) / (now - self.start)
        left = f"{rate:.0f} events/s, about {self.seconds_left():.0f} s left"
        self.bar.update(self.task, completed=done, left=left)
        if not sys.stderr.isatty() and now - self.printed > PRINT_SECONDS:
            print(f"{done:,} of {self.total:,} events, {left}", file=sys.stderr, flush=True)
            self.printed = now

    def seconds_left(self) -> float:
        """The time left for all workers together, from what the chunks of each file have cost so far."""
        costs = {order: float(np.mean(took)) if took else order.process.cost for order, took in self.seconds.items()}
        return sum(sum(left) * costs[order] for order, left in self.left.items()) / self.workers

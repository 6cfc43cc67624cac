"""Events per second of an exported graph, measured in the vocabulary of MLPerf Inference's Offline scenario.

Three scopes: `graph` (inputs and outputs bound on the device), `host` (numpy arrays in, numpy arrays out) and `file`
(draws or reading, graph, HDF5 written). Warm-up is apart. A rate is the median over repeats, with the 10th and 90th
percentile. Repeats end early once the median is known well enough, or where single calls outlast the row. ONNX
Runtime's own matrix product is timed in the same run, as a measure of what the machine can give. Nothing else may run
on the machine meanwhile.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from . import draws, events, provenance, purpose
from .columns import joined
from .errors import BadInput
from .metadata import MAKERS
from .model import PROVIDERS, Model, session_options
from .score import score
from .template import drawn, generate

# A 1000 x 256 by 256 x 256 product: the shape of a layer of these networks at the block size.
MATMUL = Path(__file__).with_name("matmul.onnx")
MATMUL_SHAPE = (1000, 256, 256)

# A row ends early where its median's 95 % interval is no wider than this part of the median.
NARROW = 0.03
FEWEST = 5  # repeats of a row, however slow one call is
FILE_SECONDS = 0.5  # of one written file at most: a slow graph writes fewer events than asked for

Record = dict[str, Any]
Call = Callable[[], object]


def measure(
    path: str | Path,
    task: str | Path,
    batches: Sequence[int] = (100, 1000, 10000),
    threads: Sequence[int] | None = None,
    provider: str = "cpu",
    repeats: int = 10,
    seconds: float = 2.0,
    file_events: int = 100_000,
) -> Iterator[Record]:
    """Time one exported graph; yields one flat record a (scope, batch, threads), each with its provenance.

    Args:
        path: the exported file.
        task: the task.h5 that gives masses, sources, and the events to score.
        batches: events in one call.
        threads: concurrent callers, each on a session of one thread; 1 and all cores by default.
        provider: "cpu" or "cuda".
        repeats: timed repeats of each row at most; 10 for a number to quote.
        seconds: total time of a row with all its repeats.
        file_events: events written in the `file` scope at most.

    Raises:
        BadInput: as `Model` and `generate` do.
    """
    model = Model(path, provider)
    threads = sorted({1, provenance.cores()}) if threads is None else threads
    inputs = _inputs(model, task, max(batches))
    common = {
        "kind": "throughput",
        "model": str(path),
        "model_sha256": model.sha256,
        "role": model.role,
        "method": model.metadata["method"],
        "provider": PROVIDERS[provider],
        "flop_per_event": model.metadata["flop_per_event"],
        "seconds_asked": seconds,
        **provenance.record(),
    }
    for callers in threads:
        matmul = _matmul_rate(callers, provider, min(seconds, 0.5))
        for batch in batches:
            feeds = {name: np.ascontiguousarray(values[:batch]) for name, values in inputs.items()}
            scopes: dict[str, Callable[[], Call]] = {
                "graph": lambda feeds=feeds: _bound(model, feeds),  # type: ignore[misc]
                "host": lambda feeds=feeds: lambda: model.run(feeds),  # type: ignore[misc]
            }
            for scope, call in scopes.items():
                timing = time_calls([call() for _ in range(callers)], batch, repeats, seconds)
                yield _row({**common, "scope": scope, "batch": batch, "threads": callers, **timing}, matmul)
        # From the rate of the row above: numpy to numpy, in the largest batch.
        span = min(seconds, FILE_SECONDS)
        blocks = math.ceil(timing["events_per_second"] * span / draws.BLOCK / callers)
        count = min(file_events, blocks * draws.BLOCK * callers)
        timing = _time_file(model, task, inputs, callers, repeats, seconds, count)
        yield _row({**common, "scope": "file", "batch": draws.BLOCK, "threads": callers, **timing}, matmul)


def _inputs(model: Model, task: str | Path, size: int) -> draws.Feeds:
    """At least `size` realistic rows for every input of the graph."""
    if model.role in MAKERS:
        return drawn(model, task, int(model.metadata["seed"])).blocks(0, -(-size // draws.BLOCK))
    purpose.check(model, task, "data")
    names = [column for port in model.inputs.values() for column in port.columns]
    rows = events.read(task, names, "data", slice(0, size))
    if not len(rows[names[0]]):
        raise BadInput(f"{task}: no events in 'data'")
    take = np.arange(size) % len(rows[names[0]])
    return {name: joined(rows, port.columns)[take] for name, port in model.inputs.items()}


def _bound(model: Model, feeds: draws.Feeds) -> Call:
    """A call whose inputs already lie on the device and whose outputs stay there."""
    device = "cuda" if model.provider == "cuda" else "cpu"
    binding = model.session.io_binding()
    for name, values in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0))
    for name in model.outputs:
        binding.bind_output(name, device)
    return lambda: model.session.run_with_iobinding(binding)


def time_calls(calls: Sequence[Call], batch: int, repeats: int, seconds: float) -> Record:
    """Time concurrent callers of `batch` events a call; `repeats` repeats together last about `seconds`."""
    with ThreadPoolExecutor(len(calls)) as pool:

        def once(number: int) -> float:
            def work(call: Call) -> None:
                for _ in range(number):
                    call()

            start = time.perf_counter()
            list(pool.map(work, calls))
            return time.perf_counter() - start

        start = time.perf_counter()
        single = min(once(1) for _ in range(2))
        number = max(1, round(seconds / repeats / single))
        warm_up = time.perf_counter() - start
        times = _repeated(lambda: once(number), repeats, seconds)
    return statistics(times, number * batch * len(calls)) | {"warm_up_seconds": warm_up}


def _repeated(once: Callable[[], float], repeats: int, seconds: float) -> list[float]:
    """The times of so many repeats: of fewer where they settle the median, or where slow ones take twice `seconds`."""
    times: list[float] = []
    while len(times) < repeats and not settled(times) and not (len(times) >= FEWEST and sum(times) >= 2 * seconds):
        times.append(once())
    return times


def settled(times: Sequence[float]) -> bool:
    """Whether the 95 % interval of the median time, from order statistics, is narrow; never with fewer than six times.

    >>> settled([1.0, 1.01, 1.0, 1.02, 1.0, 1.01]), settled([1.0, 1.01, 1.0, 1.02, 1.0, 1.5]), settled([1.0] * 5)
    (True, False, False)
    """
    ordered, number = sorted(times), len(times)
    # Times at either end that the interval leaves out: the sign test's, in its normal approximation.
    left_out = math.floor((number - 1) / 2 - 0.98 * math.sqrt(number))
    return left_out >= 0 and ordered[-1 - left_out] - ordered[left_out] <= NARROW * float(np.median(ordered))


def _time_file(
    model: Model, task: str | Path, inputs: draws.Feeds, threads: int, repeats: int, seconds: float, count: int
) -> Record:
    """Time the whole way to a finished file of `count` events."""
    with tempfile.TemporaryDirectory() as folder:
        out, source = Path(folder) / "out.h5", Path(folder) / "events.h5"
        if model.role not in MAKERS:
            with events.new_file(source) as file:
                rows = np.arange(count) % len(next(iter(inputs.values())))
                for name, port in model.inputs.items():
                    events.write(file, port.split(inputs[name][rows]))

        def once() -> float:
            start = time.perf_counter()
            if model.role in MAKERS:
                generate(model, task, out, count, threads=threads)
            else:
                score([model], source, out, threads=threads)
            return time.perf_counter() - start

        warm_up = once()
        return statistics(_repeated(once, repeats, seconds), count) | {"warm_up_seconds": warm_up}


def statistics(times: Sequence[float], done: int) -> Record:
    """Median and 10th and 90th percentile of the rate, of repeats that took `times` and did `done` events each."""
    rates = done / np.asarray(times)
    low, median, high = np.percentile(rates, [10, 50, 90])
    return {
        "repeats": len(times),
        "events_per_repeat": done,
        "total_seconds": float(np.sum(times)),
        "events_per_second": float(median),
        "p10": float(low),
        "p90": float(high),
    }


def _matmul_rate(threads: int, provider: str, seconds: float) -> float:
    """Floating-point operations per second of ONNX Runtime's MatMul with as many callers, median of 10."""
    rows, inner, columns = MATMUL_SHAPE
    session = onnxruntime.InferenceSession(MATMUL.read_bytes(), session_options(1), providers=[PROVIDERS[provider]])
    random = np.random.default_rng(0)
    feeds = {
        "a": random.standard_normal((rows, inner), dtype=np.float32),
        "b": random.standard_normal((inner, columns), dtype=np.float32),
    }
    timing = time_calls([lambda: session.run(None, feeds)] * threads, 1, repeats=10, seconds=seconds)
    return float(timing["events_per_second"]) * 2 * rows * inner * columns


def _row(row: Record, matmul: float) -> Record:
    flop = row["flop_per_event"]
    share = flop * row["events_per_second"] / matmul if flop else None
    return {**row, "matmul_flop_per_second": matmul, "fraction_of_matmul": share}

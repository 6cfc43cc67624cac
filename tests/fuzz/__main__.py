"""python -m tests.fuzz: try many cases, or repeat one of them."""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

# Read when the libraries load; a server must not have threads, which its children would lack.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"

from tests.fuzz import server
from tests.fuzz.verdict import Verdict

SAY_SECONDS = 10.0


def main() -> int:
    """Run the requested cases; 1 if any of them ended wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--first", type=int, default=0, help="the first one's number (default 0)")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds give equal cases (default 1)")
    parser.add_argument("--only", type=int, nargs="+", help="the numbers of the cases to try, in place of --cases")
    parser.add_argument("--keep", type=Path, help="folder for the files of the cases in --only")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="cases at a time (default: all cores)")
    parser.add_argument("--record", default=os.devnull, help="file to write each verdict to, as a line of JSON")
    arguments = parser.parse_args()
    numbers = arguments.only or range(arguments.first, arguments.first + arguments.cases)
    keep = arguments.keep.resolve() if arguments.keep else None
    with tempfile.TemporaryDirectory(prefix="sideband-fuzz-") as root, open(arguments.record, "w") as record:
        found = []
        for verdict in _reported(
            server.run(numbers, arguments.seed, Path(root), arguments.workers, keep), len(numbers)
        ):
            record.write(json.dumps(dataclasses.asdict(verdict)) + "\n")
            record.flush()
            found.append(verdict)
    _print_table(found)
    wrong = sorted((verdict for verdict in found if verdict.problem), key=lambda verdict: verdict.number)
    for verdict in wrong:
        print(f"case {verdict.number} ({verdict.kind}; {verdict.what}): {verdict.problem}")
        if arguments.only:
            print(verdict.detail)
    if wrong:
        print(f"one of them again: python -m tests.fuzz --seed {arguments.seed} --keep DIR --only {wrong[0].number}")
    return int(bool(wrong))


def _reported(verdicts: Iterable[Verdict], total: int) -> Iterable[Verdict]:
    """Pass verdicts on, and report the progress now and then."""
    start = said = time.monotonic()
    wrong = 0
    for done, verdict in enumerate(verdicts, 1):
        wrong += bool(verdict.problem)
        now = time.monotonic()
        if now - said > SAY_SECONDS:
            left = (now - start) / done * (total - done)
            print(f"{done} of {total} cases, {wrong} wrong, about {left:.0f} s left", file=sys.stderr, flush=True)
            said = now
        yield verdict


def _print_table(found: list[Verdict]) -> None:
    """Print the outcomes by kind."""
    heads = ("done", "failed", "refused", "wrong")
    counts: dict[str, Counter[str]] = {}
    for verdict in found:
        ended = "wrong" if verdict.problem else heads[verdict.status]
        counts.setdefault(verdict.kind, Counter())[ended] += 1
    print(f"{'kind':22s}" + "".join(f"{head:>9s}" for head in heads) + f"{'seconds':>9s}")
    for kind, count in sorted(counts.items()):
        seconds = sum(verdict.seconds for verdict in found if verdict.kind == kind)
        print(f"{kind:22s}" + "".join(f"{count[head]:9d}" for head in heads) + f"{seconds:9.1f}")
    print(f"{len(found)} cases, {sum(count['wrong'] for count in counts.values())} wrong")


if __name__ == "__main__":
    sys.exit(main())

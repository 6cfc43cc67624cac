"""python -m infer template|score|throughput|describe|check: run exported files with ONNX Runtime."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infer.errors import guarded


def main() -> int:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m infer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    template = commands.add_parser("template", help="write template events")
    template.add_argument("model", type=Path, help="an exported template.onnx")
    template.add_argument("--task", type=Path, required=True, help="task.h5 with target masses and sources")
    template.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    template.add_argument("--count", type=int, help="events (default: the task's target masses, once each)")
    template.add_argument("--seed", type=int, help="draw seed (default: the training template's)")
    template.add_argument("--batch-blocks", type=int, default=1, help="blocks of 1,000 events a call (default 1)")
    template.add_argument("--expect", type=Path, help="a template made with torch that this one must reproduce")

    score = commands.add_parser("score", help="write anomaly scores")
    score.add_argument("model", type=Path, nargs="+", help="an exported score.onnx, or one file a fold")
    score.add_argument("--events", type=Path, required=True, help="events or task file")
    score.add_argument("--group", default="/", help="group of the file that holds the columns ('test' in a task)")
    score.add_argument("--out", type=Path, required=True, help="HDF5 file to write")

    throughput = commands.add_parser("throughput", help="time a graph; run it alone on the machine")
    throughput.add_argument("model", type=Path)
    throughput.add_argument("--task", type=Path, required=True)
    throughput.add_argument("--out", type=Path, help="JSON file to write")
    throughput.add_argument("--batches", type=int, nargs="+", default=[100, 1000, 10000])
    throughput.add_argument("--repeats", type=int, default=10)
    throughput.add_argument("--seconds", type=float, default=2.0, help="least total time of a row")
    throughput.add_argument("--file-events", type=int, default=100_000, help="events written in the file scope")

    describe = commands.add_parser("describe", help="say what an exported file is")
    describe.add_argument("model", type=Path)

    check = commands.add_parser("check", help="reproduce the check vectors beside exported files")
    check.add_argument("model", type=Path, nargs="+")

    for command in (template, score, throughput, describe, check):
        command.add_argument("--provider", default="cpu", choices=("cpu", "cuda"), help="no fallback between them")
    for command in (template, score):
        command.add_argument("--threads", type=int, help="concurrent callers (default: all cores; one on CUDA)")
    throughput.add_argument("--threads", type=int, nargs="+", help="callers to try (default: 1 and all cores)")

    arguments = parser.parse_args()
    return COMMANDS[arguments.command](arguments)


def _template(arguments: argparse.Namespace) -> int:
    from infer import template
    from infer.model import Model

    model = Model(arguments.model, arguments.provider)
    with _progress("template events") as progress:
        template.generate(
            model,
            arguments.task,
            arguments.out,
            arguments.count,
            arguments.seed,
            arguments.threads,
            arguments.batch_blocks,
            progress,
        )
    if arguments.expect:
        template.compare(model, arguments.expect, arguments.out)
    print(f"{arguments.out}: template of {arguments.model} on {arguments.provider}")
    return 0


def _score(arguments: argparse.Namespace) -> int:
    from infer.model import Model
    from infer.score import score

    models = [Model(path, arguments.provider) for path in arguments.model]
    with _progress("scored events") as progress:
        score(models, arguments.events, arguments.out, arguments.group, arguments.threads, progress)
    print(f"{arguments.out}: scores of {', '.join(map(str, arguments.model))} on {arguments.provider}")
    return 0


def _throughput(arguments: argparse.Namespace) -> int:
    from infer import events
    from infer.throughput import measure

    rows = []
    for row in measure(
        arguments.model,
        arguments.task,
        arguments.batches,
        arguments.threads,
        arguments.provider,
        arguments.repeats,
        arguments.seconds,
        arguments.file_events,
    ):
        rows.append(row)
        print(
            f"{row['scope']:6s} batch {row['batch']:6d}  {row['threads']} threads  "
            f"{row['events_per_second']:12,.0f} events/s  (p10 {row['p10']:,.0f}, p90 {row['p90']:,.0f})",
            flush=True,
        )
    if arguments.out:
        events.write_json(arguments.out, rows)
    return 0


def _describe(arguments: argparse.Namespace) -> int:
    from infer.model import Model

    model = Model(arguments.model, arguments.provider)
    print(f"{arguments.model}  sha256 {model.sha256}")
    for key, value in sorted(model.metadata.items()):
        print(f"{key:16s} {value if isinstance(value, str) else json.dumps(value)}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from infer.model import check

    failed = False
    for path in arguments.model:
        for output, ratio in check(path, arguments.provider).items():
            failed |= ratio > 1
            verdict = "reproduced" if ratio <= 1 else "NOT REPRODUCED"
            print(f"{path}: {output} {verdict}: largest difference {ratio:.3g} of the tolerance")
    return int(failed)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A rich progress bar on a terminal, silence in a log."""
    if not sys.stderr.isatty():
        yield lambda finished, total: None
        return
    from rich.progress import MofNCompleteColumn, Progress

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda finished, total: bar.update(task, advance=finished, total=total)


COMMANDS = {
    "template": _template,
    "score": _score,
    "throughput": _throughput,
    "describe": _describe,
    "check": _check,
}

if __name__ == "__main__":
    guarded(main)

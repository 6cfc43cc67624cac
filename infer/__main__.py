"""python -m infer template|gather|score|throughput|describe|check: run exported files with ONNX Runtime."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import LARGEST_SEED, Commands, Parser, calling, execute, number, whole
from .errors import guarded

if TYPE_CHECKING:
    from .model import Model

# What the commands import; the grid starts their steps in processes that have it.
HEAVY = ("sideband.infer.model", "sideband.infer.score", "sideband.infer.template", "sideband.infer.throughput")


def main() -> int:
    """Parse the command line and run one command."""
    parser = Parser(prog=f"python -m {__package__}", description=__doc__)
    add_commands(parser)
    return execute(parser)


def add_commands(parser: Parser) -> Commands:
    """Add the commands to a parser."""
    commands = parser.add_subparsers(dest="command", required=True)

    template = commands.add_parser("template", help="write template events")
    template.add_argument("model", type=Path, help="an exported template.onnx")
    template.add_argument("--task", type=Path, required=True, help="task.h5 with target masses and sources")
    template.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    template.add_argument(
        "--count", type=whole(1, 10**12), help="events (default: the task's target masses, once each)"
    )
    template.add_argument(
        "--first", type=whole(0, 10**12), default=0, help="the first event, of a part of a template (default 0)"
    )
    template.add_argument("--seed", type=whole(0, LARGEST_SEED), help="draw seed (default: the training template's)")
    template.add_argument(
        "--batch-blocks", type=whole(1, 1000), default=1, help="blocks of 1,000 events a call (default 1)"
    )
    template.add_argument("--expect", type=Path, help="a template made with torch that this one must reproduce")

    gather = commands.add_parser("gather", help="join parts of a template, without a copy")
    gather.add_argument("parts", type=Path, nargs="+", help="files that template --first has written, in any order")
    gather.add_argument("--out", type=Path, required=True, help="HDF5 file to write, which refers to the parts")
    gather.add_argument("--count", type=whole(1, 10**12), help="events that must be there (default: of the parts)")

    score = commands.add_parser("score", help="write anomaly scores, or the latents of an encoder")
    score.add_argument("model", type=Path, nargs="+", help="an exported score.onnx, or one file a fold")
    score.add_argument("--events", type=Path, required=True, help="events or task file")
    score.add_argument("--group", default="/", help="group of the file that holds the columns ('test' in a task)")
    score.add_argument("--out", type=Path, required=True, help="HDF5 file to write")

    throughput = commands.add_parser("throughput", help="time a graph; run it alone on the machine")
    throughput.add_argument("model", type=Path, help="an exported file")
    throughput.add_argument("--task", type=Path, required=True, help="task.h5, for realistic inputs")
    throughput.add_argument("--out", type=Path, help="JSON file to write")
    throughput.add_argument(
        "--batches", type=whole(1, 10**6), nargs="+", default=[100, 1000, 10000], help="events per call"
    )
    throughput.add_argument(
        "--repeats", type=whole(1, 10**4), default=10, help="most repeats of a row; fewer where they agree (default 10)"
    )
    throughput.add_argument(
        "--seconds", type=number(0, 3600), default=2.0, help="time of a row with all its repeats (default 2)"
    )
    throughput.add_argument(
        "--file-events",
        type=whole(1, 10**8),
        default=100_000,
        help="most events written in the file scope (default 100,000)",
    )

    describe = commands.add_parser("describe", help="print what an exported file takes, gives and was made from")
    describe.add_argument("model", type=Path, help="an exported file")
    describe.add_argument("--json", action="store_true", help="all metadata as JSON, for programs")

    check = commands.add_parser("check", help="reproduce the check vectors beside exported files")
    check.add_argument("model", type=Path, nargs="+", help="exported files, beside their check.npz")

    for command in (template, score, throughput, describe, check):
        command.add_argument(
            "--provider", default="cpu", choices=("cpu", "cuda"), help="where to run (default cpu); no fallback"
        )
    for command in (template, score):
        command.add_argument(
            "--threads", type=whole(1, 1024), help="concurrent callers (default: all cores; one on CUDA)"
        )
    throughput.add_argument(
        "--threads", type=whole(1, 1024), nargs="+", help="callers to try (default: 1 and all cores)"
    )

    return calling(commands, COMMANDS)


def _template(arguments: argparse.Namespace) -> int:
    from . import purpose, template
    from .model import Model

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
            arguments.expect,
            arguments.first,
        )
    if arguments.expect:
        template.compare(model, arguments.expect, arguments.out)
    if note := purpose.other_window(model, arguments.task):
        print(note)
    print(f"{arguments.out}: template of {arguments.model} on {arguments.provider}; {_digest([model])}")
    return 0


def _gather(arguments: argparse.Namespace) -> int:
    from .gather import gather

    number = gather(arguments.parts, arguments.out, arguments.count)
    print(f"{arguments.out}: {number:,} events in {len(arguments.parts)} parts")
    return 0


def _score(arguments: argparse.Namespace) -> int:
    from .model import Model
    from .score import score

    models = [Model(path, arguments.provider) for path in arguments.model]
    with _progress("scored events") as progress:
        score(models, arguments.events, arguments.out, arguments.group, arguments.threads, progress)
    names = ", ".join(map(str, arguments.model))
    print(f"{arguments.out}: scores of {names} on {arguments.provider}; {_digest(models)}")
    return 0


def _digest(models: "Sequence[Model]") -> str:
    """Whether what ran is what was exported."""
    if all(model.verified for model in models):
        return "digest as in export.json"
    return "digest not checked, for want of an export.json that names it"


def _throughput(arguments: argparse.Namespace) -> int:
    from . import events
    from .throughput import measure

    if arguments.out:
        events.check_output(arguments.out, [arguments.model, arguments.task])
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
    from .describe import description
    from .model import Model

    model = Model(arguments.model, arguments.provider)
    if arguments.json:
        print(json.dumps({"sha256": model.sha256, **model.metadata}, indent=2, sort_keys=True))
    else:
        print(description(model))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .model import check

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
    "gather": _gather,
    "score": _score,
    "throughput": _throughput,
    "describe": _describe,
    "check": _check,
}

if __name__ == "__main__":
    guarded(main)

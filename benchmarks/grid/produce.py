"""Mass-produce one template in parts, each a job of this machine or of a cluster, and join them without a copy."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sideband.benchmarks.grid.owner import sole_owner
from sideband.benchmarks.grid.workflow import Workflow, call
from sideband.infer import events
from sideband.infer.called import CALLED, program
from sideband.infer.errors import BadInput
from sideband.infer.gather import gather

SNAKEFILE = Path(__file__).with_name("Parts")
MOST_PARTS = 10_000  # Snakemake plans as many in seconds


def produce(
    model: Path,
    task: Path,
    out: Path,
    count: int,
    part_events: int,
    options: Sequence[str] = (),
    number: int | None = None,
    profile: Path | None = None,
) -> int | None:
    """Write a template whose events lie in parts beside it, in the folder `OUT.parts`.

    The events are bitwise those of `infer template` with the same options. The same call makes what is missing or out
    of date, and no more. A signal ends every process that was started, and then this one.

    Args:
        model: an exported template.onnx.
        task: the task.h5 with target masses and sources.
        out: the file to write, of virtual datasets.
        count: events of the template.
        part_events: events of a part; the last one has the rest.
        options: of `infer template`, for every part: seed, provider and blocks a call.
        number: CPU cores to use; all where None, or as many as the profile says.
        profile: the folder of a Snakemake profile, which hands the parts to a cluster.

    Returns:
        The number of parts; None if some could not be made, which is said on standard error.

    Raises:
        BadInput: a model or task that does not serve, too many parts, a file that cannot be written, or another
            command at work on the same parts.
        process.Interrupted: a signal has ended it.
    """
    os.environ[CALLED] = program()
    events.check_output(out, [model, task])
    firsts = range(0, count, part_events)
    if len(firsts) > MOST_PARTS:
        raise BadInput(
            f"--part-events {part_events}: makes {len(firsts):,} parts, and {MOST_PARTS:,} are the most; give at least "
            f"{-(-count // MOST_PARTS)}"
        )
    _try(model, task)
    folder = out.with_name(f"{out.name}.parts")
    order = {
        "model": str(model.resolve()),
        "task": str(task.resolve()),
        "sha256": [events.sha256(model), events.sha256(task)],
        "count": count,
        "part_events": part_events,
        "options": list(options),
    }
    title = f"{out.name} in {len(firsts):,} part{'s' * (len(firsts) > 1)}"
    gpus = {"gpu": 1} if "cuda" in options else {}
    jobs = Workflow(SNAKEFILE, folder, title, number=number, profile=profile, resources=gpus, warm=False)
    with sole_owner(folder) as owner:
        events.write_json(folder / "order.json", order)
        if not jobs.run(owner):
            return None
        gather([folder / f"{first:013d}.h5" for first in firsts], out, count)
    return len(firsts)


def _try(model: Path, task: Path) -> None:
    """Make one event, on the CPU: where jobs are submitted there may be no GPU. Raises `BadInput` as a part would."""
    with tempfile.TemporaryDirectory() as place:
        options = ("--task", str(task), "--count", "1", "--threads", "1", "--out", f"{place}/one.h5")
        call("infer", "template", str(model), *options)

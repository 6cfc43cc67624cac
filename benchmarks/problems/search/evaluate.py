"""The numbers of one cell: SIC, closure, and excess, each where the task has what it needs."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sideband.benchmarks.events import task
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.metrics import closure, excess, sic
from sideband.benchmarks.problems.showers import evaluate as showers
from sideband.infer import draws, events, provenance
from sideband.infer.columns import joined
from sideband.infer.errors import BadInput

Record = dict[str, Any]
LEAST_SIGNAL = 100  # events grown from signal, to say how much they still look like it
LEAST_EVENTS = 10 * closure.FOLDS  # a side in the closure test


def evaluate(
    task_path: Path,
    scores: Path,
    template: Path | None = None,
    data_scores: Path | None = None,
    template_scores: Path | None = None,
    efficiencies: tuple[float, ...] = (),
    closure_events: int | None = None,
) -> Record:
    """Evaluate one method's scores and template.

    Args:
        task_path: the task.
        scores: scores of the test events, or of the data where the truth is not known.
        template: the template's events, if the method makes any.
        data_scores, template_scores: cross-fitted scores of `data/` and of the template, if there are any.
        efficiencies: template efficiencies to quote the excess at.
        closure_events: events a side in the closure test at most.

    Returns:
        One record; `sic`, `closure` and `excess` are None where they cannot be had, with the reason beside them. Of a
        template grown from the signal region, `signal_like` is the closure test of its events that were signal.

    Raises:
        BadInput: a file that is not of this task, or holds too few events.
    """
    the_task = task.read(task_path)
    _check_files(the_task, scores, template, data_scores, template_scores)
    if not the_task.windowed:
        return showers.evaluate(the_task, scores, template, closure_events)
    record: Record = {"sic": None, "closure": None, "excess": None, **provenance.record()}
    found = events.read(scores, ["score", "clamped"])
    record["clamped_fraction"] = float(found["clamped"].mean())

    if the_task.labelled:
        label = the_task.events("test").label
        assert label is not None
        summary = asdict(sic.summarise(found["score"], label, the_task.seed))
        record["sic"] = {**summary, "curve": summary["curve"].tolist(), "n_background": int((label == 0).sum())}
    else:
        record["sic_missing"] = "the events have no labels"

    truth = background(the_task)
    if template is None:
        record["closure_missing"] = "the method makes no template"
    elif truth is None:
        record["closure_missing"] = "without labels only a sideband validation window has known background"
    else:
        names = list(the_task.features)
        table = joined(events.read(template, names), names)
        _check_enough(truth, task_path)
        record["closure"] = asdict(closure.closure(truth.features, table, closure_events))
        grown = _grown_from_signal(the_task, template, table)
        if grown is not None and len(grown) >= LEAST_SIGNAL:
            record["signal_like"] = asdict(closure.closure(grown, truth.features, closure_events))

    if data_scores is None or template_scores is None:
        record["excess_missing"] = "no cross-fitted scores: they need a template and 'excess' in the suite"
    else:
        inside = the_task.inside(the_task.events("data"))
        data = events.read(data_scores, ["score"])["score"][inside]
        held_out = events.read(template_scores, ["score"])["score"]
        record["excess"] = [asdict(excess.excess(data, held_out, efficiency)) for efficiency in efficiencies]
    return record


def _check_files(
    the_task: task.Task, scores: Path, template: Path | None, data_scores: Path | None, template_scores: Path | None
) -> None:
    """Refuse files that were made of something else than this task, as far as they or their rows say of what."""
    group, source, mass = "test" if the_task.labelled else "data", the_task.path, the_task.mass
    digest = events.sha256(source)
    _check_origin(scores, "score", source, digest)
    _check_rows(scores, source, group, mass)
    if data_scores is not None:
        _check_origin(data_scores, "score", source, digest)
        _check_rows(data_scores, source, "data", mass)
    if template is None:
        return
    first = next(iter(the_task.features))
    if _check_origin(template, first, source, digest) < LEAST_EVENTS:
        raise BadInput(f"{template}: holds fewer than {LEAST_EVENTS} events, too few for a closure test")
    if template_scores is not None:
        _check_origin(template_scores, "score", template, events.sha256(template))
        _check_rows(template_scores, template, "/", first)


def _check_origin(path: Path, column: str, source: Path, digest: str) -> int:
    """The number of a file's events; raises `BadInput` if there are none, or if it names another digest of `source`."""
    with events.opened(path) as file:
        number = events.count(file, [column], path)
        said = events.attributes(file)
    if not number:
        raise BadInput(f"{path}: holds no events; make it again")
    if {str(said[name]) for name in ("events_sha256", "task_sha256") if name in said} - {digest}:
        raise BadInput(f"{path}: was made of another file than {source}, or of an earlier one; make it again")
    return number


def _check_rows(scores: Path, source: Path, group: str, column: str) -> None:
    """Refuse scores that are not those of each event of a group, which has a certain column."""
    with events.opened(scores) as file:
        said, number = events.attribute(file, "group") or group, events.count(file, ["score"], scores)
    if said != group:
        raise BadInput(f"{scores}: holds scores of '{said}' in {source}; make those of '{group}'")
    with events.opened(source, group) as file:
        rows = events.count(file, [column], source)
    if number != rows:
        raise BadInput(f"{scores}: holds {number} scores, and '{group}' in {source} {rows} events; make it again")


def _check_enough(truth: Events, path: Path) -> None:
    if len(truth) < LEAST_EVENTS:
        raise BadInput(f"{path}: holds {len(truth)} true background events; a closure test needs {LEAST_EVENTS}")


def _grown_from_signal(the_task: task.Task, template: Path, made: closure.Array) -> closure.Array | None:
    """The template events that started from signal, where the source is the signal region and the truth is known.

    One of each signal event: copies on both sides of a fold would be recognised, whatever they look like.
    """
    with events.opened(template) as file:
        told = events.attributes(file)
    if told.get("source") != "signal region" or not the_task.labelled:
        return None
    inside = the_task.inside(the_task.events("data"))
    signal = events.read(the_task.path, ["label"], "truth")["label"][inside] == 1
    blocks = range(-(-len(made) // draws.BLOCK))
    rows = np.concatenate([draws.source_rows(int(told["seed"]), len(signal), block) for block in blocks])[: len(made)]
    each, first = np.unique(rows, return_index=True)
    return made[first[signal[each]]]


def control(task_path: Path, closure_events: int | None) -> Record:
    """The closure test's floor (truth against truth) and positive control (raw sidebands against truth) of a task."""
    the_task = task.read(task_path)
    if not the_task.windowed:
        return showers.control(the_task, closure_events)
    truth = background(the_task)
    record: Record = {"floor": None, "sidebands": None, **provenance.record()}
    if truth is None:
        return record
    if the_task.labelled:
        reference = the_task.events("reference")
        floor = (truth, reference[reference.label == 0])
    else:
        half = len(truth) // 2
        floor = (truth[:half], truth[half:])
    data = the_task.events("data")
    sidebands = data[~the_task.inside(data)]
    for side in floor:
        _check_enough(side, task_path)
    record["floor"] = asdict(closure.closure(floor[0].features, floor[1].features, closure_events))
    record["sidebands"] = asdict(closure.closure(truth.features, sidebands.features, closure_events))
    return record


def background(the_task: task.Task) -> Events | None:
    """Background in the window that no fit has seen; None where nothing tells it from signal."""
    if the_task.labelled:
        test = the_task.events("test")
        return test[test.label == 0]
    if the_task.attributes["validation"]:
        data = the_task.events("data")
        return data[the_task.inside(data)]
    return None

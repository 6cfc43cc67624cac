"""The numbers of one cell: SIC, sculpting, closure and excess, each where the task has what it needs."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events import task
from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.metrics import closure, excess, sculpting, sic, spectrum
from sideband.benchmarks.problems import origin
from sideband.infer import draws, events, provenance
from sideband.infer.columns import joined
from sideband.infer.errors import BadInput

Record = dict[str, Any]
Array = NDArray[np.float32]

LEAST_SIGNAL = 100  # template events that started from signal, for a test of how much they still look like it
LEAST_EVENTS = origin.LEAST_EVENTS
WEIGHT = "weight"  # the column of a weighted template


def evaluate(
    task_path: Path,
    scores: Path,
    template: Path | None = None,
    data_scores: Path | None = None,
    template_scores: Path | None = None,
    efficiencies: tuple[float, ...] = (),
    closure_events: int | None = None,
    latents: tuple[Path, ...] = (),
) -> Record:
    """Evaluate one method's scores and template.

    Args:
        task_path: the task.
        scores: scores of the test events, or of the data where the truth is unknown.
        template: the template's events, with a column `weight` if they are weighted; None if the method makes none.
        data_scores, template_scores: cross-fitted scores of `data/` and of the template, if there are any.
        efficiencies: template efficiencies at which the excess is quoted.
        closure_events: events per side in the closure test at most.
        latents: latents of the events that are scored, and of the template, for a method with an encoder.

    Returns:
        One record. `sic`, `sculpting`, `closure` and `excess` are None where they cannot be computed; then a key such
        as `sic_missing` gives the reason. With an excess come `spectra`, the mass spectra that it is read from. If the
        template starts from the signal region, `signal_like` is the closure test of those of its events that started
        from signal. With latents, `latent_closure` is the closure test of what the classifier sees: encoded true
        background of the window against the encoded template.

    Raises:
        BadInput: a file that is not of this task, or holds too few events.
    """
    the_task = task.read(task_path)
    origin.check(the_task, scores, template, data_scores, template_scores, latents)
    record: Record = {"sic": None, "sculpting": None, "closure": None, "excess": None, **provenance.record()}
    record |= _of_scores(the_task, scores)
    made, weight = (None, None) if template is None else _read(the_task, template)
    if template is None or made is None:
        record["closure_missing"] = "the method makes no template"
    else:
        record |= _of_template(the_task, template, made, weight, closure_events)
        if latents:
            record |= _of_latents(the_task, latents, weight, closure_events)
    if template is None or data_scores is None or template_scores is None:
        record["excess_missing"] = "no cross-fitted scores: they need a template and 'excess' in the suite"
    else:
        data = _sample(the_task.path, "data", the_task.mass, data_scores)
        predicted = _sample(template, "/", the_task.mass, template_scores, weight)
        record |= _of_excess(data, predicted, the_task.window, efficiencies)
    return record


def _sample(path: Path, group: str, mass: str, scores: Path, weight: Array | None = None) -> spectrum.Sample:
    """The masses of a group of events, with their scores."""
    return spectrum.Sample(events.read(path, [mass], group)[mass], events.read(scores, ["score"])["score"], weight)


def _of_excess(
    data: spectrum.Sample, template: spectrum.Sample, window: task.Range, efficiencies: tuple[float, ...]
) -> Record:
    """The excess above each cut in the window, and the spectra of all masses that it is read from."""
    inside = data.score[events.in_window(data.mass, window)]
    bins = spectrum.edges(window, (float(data.mass.min()), float(data.mass.max())))
    found = spectrum.spectra(data, template, window, efficiencies, bins)
    return {
        "excess": [asdict(excess.excess(inside, template.score, each, template.weight)) for each in efficiencies],
        "spectra": {"edges": bins.tolist(), "cuts": [asdict(each) for each in found]},
    }


def _of_scores(the_task: task.Task, scores: Path) -> Record:
    """SIC of the test events in the window, and sculpting by the scores of the background at every mass."""
    found = events.read(scores, ["score", "clamped"])
    if not the_task.labelled:
        missing = dict.fromkeys(("sic_missing", "sculpting_missing"), "the events have no labels")
        return {"clamped_fraction": float(found["clamped"].mean()), **missing}
    test = events.read(the_task.path, [the_task.mass, "label"], "test")
    mass, label = test[the_task.mass], test["label"].astype(np.int8)
    inside = events.in_window(mass, the_task.window)
    if not inside.any():
        raise BadInput(f"{the_task.path}: no test events lie in the window; draw a task with more events")
    summary = asdict(sic.summarise(found["score"][inside], label[inside], the_task.seed))
    number = int((label[inside] == 0).sum())
    record: Record = {
        "clamped_fraction": float(found["clamped"][inside].mean()),
        "sic": {**summary, "curve": summary["curve"].tolist(), "n_background": number},
    }
    if number < LEAST_EVENTS:
        return record | {"sculpting_missing": f"only {number} test background events lie in the window"}
    rows = label == 0
    shaped = sculpting.sculpting(mass[rows], found["score"][rows], inside[rows], the_task.seed)
    return record | {"sculpting": asdict(shaped)}


def _read(the_task: task.Task, template: Path) -> tuple[Array, Array | None]:
    """Features `[N, d]` of a template, and its weights `[N]`, or None if it has none."""
    names = list(the_task.features)
    with events.opened(template) as file:
        weighted = WEIGHT in file
    columns = events.read(template, [*names, *([WEIGHT] if weighted else [])])
    weight = columns[WEIGHT] if weighted else None
    if weight is not None and (weight.ndim != 1 or (weight < 0).any() or not weight.any()):
        raise BadInput(f"{template}: '{WEIGHT}' must hold one number from 0 on per event, not all 0; make it again")
    return joined(columns, names), weight


def _of_template(
    the_task: task.Task, template: Path, made: Array, weight: Array | None, closure_events: int | None
) -> Record:
    """Closure of a template, and of those of its events that started from signal."""
    truth = background(the_task)
    if truth is None:
        return {"closure_missing": "without labels, only a validation window has known background"}
    _check_enough(truth, the_task.path)
    found = closure.closure(truth.features, made, closure_events, weights=(None, weight))
    record = {"closure": asdict(found)}
    rows = _grown_from_signal(the_task, template, len(made))
    if rows is not None and len(rows) >= LEAST_SIGNAL:
        weights = (None if weight is None else weight[rows], None)
        found = closure.closure(made[rows], truth.features, closure_events, weights=weights)
        record["signal_like"] = asdict(found)
    return record


def _of_latents(
    the_task: task.Task, latents: tuple[Path, ...], weight: Array | None, closure_events: int | None
) -> Record:
    """Closure in the latent space of events and template; nothing where no background is known."""
    if the_task.labelled:
        test = events.read(the_task.path, [the_task.mass, "label"], "test")
        rows = (test["label"] == 0) & events.in_window(test[the_task.mass], the_task.window)
    elif the_task.attributes["validation"]:
        rows = _inside(the_task)
    else:
        return {}
    truth, made = (events.read(path, ["latent"])["latent"] for path in latents)
    truth, made = (latent.reshape(len(latent), -1) for latent in (truth[rows], made))
    return {"latent_closure": asdict(closure.closure(truth, made, closure_events, weights=(None, weight)))}


def _check_enough(truth: Events, path: Path) -> None:
    if len(truth) < LEAST_EVENTS:
        raise BadInput(f"{path}: holds {len(truth)} true background events; a closure test needs {LEAST_EVENTS}")


def _grown_from_signal(the_task: task.Task, template: Path, number: int) -> NDArray[np.int64] | None:
    """Rows of a template's events that started from signal; None unless it starts from labelled data in the window.

    One row for each signal event: copies on both sides of a fold would be recognised, whatever they look like.
    """
    with events.opened(template) as file:
        attributes = events.attributes(file)
    if attributes.get("source") != "signal region" or not the_task.labelled:
        return None
    signal = events.read(the_task.path, ["label"], "truth")["label"][_inside(the_task)] == 1
    blocks = range(-(-number // draws.BLOCK))
    seed = int(attributes["seed"])
    rows = np.concatenate([draws.source_rows(seed, len(signal), block) for block in blocks])[:number]
    each, first = np.unique(rows, return_index=True)
    return first[signal[each]]


def _inside(the_task: task.Task) -> NDArray[np.bool_]:
    """Which events of the data lie in the window."""
    return events.in_window(events.read(the_task.path, [the_task.mass], "data")[the_task.mass], the_task.window)


def control(task_path: Path, closure_events: int | None = None) -> Record:
    """The closure test's floor (truth against truth) and positive control (raw sidebands against truth) of a task."""
    the_task = task.read(task_path)
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
    """Background in the window that no fit has seen; None where nothing distinguishes it from signal."""
    if the_task.labelled:
        test = the_task.events("test")
        return test[(test.label == 0) & the_task.inside(test)]
    if the_task.attributes["validation"]:
        data = the_task.events("data")
        return data[the_task.inside(data)]
    return None

"""Do scores and templates belong to a task? Their files name what they were made of."""

from pathlib import Path

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.metrics import closure
from sideband.infer import events
from sideband.infer.errors import BadInput

LEAST_EVENTS = 10 * closure.FOLDS  # per side of a closure test


def check(
    task: Task,
    scores: Path,
    template: Path | None = None,
    data_scores: Path | None = None,
    template_scores: Path | None = None,
    latents: tuple[Path, ...] = (),
) -> None:
    """Refuse files that were made of something else, so far as the files or their numbers of rows say so.

    Args:
        task: the task.
        scores: scores of its test events, or of its data where the truth is unknown.
        template: template events.
        data_scores: cross-fitted scores of the data.
        template_scores: cross-fitted scores of the template.
        latents: latents of the events that are scored, and of the template.

    Raises:
        BadInput: a file of another task, with another number of rows, or with too few events.
    """
    group = "test" if task.labelled else "data"
    digest = events.sha256(task.path)
    _check_digest(scores, "score", task.path, digest)
    _check_rows(scores, task.path, group, task.mass)
    if data_scores is not None:
        _check_digest(data_scores, "score", task.path, digest)
        _check_rows(data_scores, task.path, "data", task.mass)
    if template is None:
        return
    first = next(iter(task.features))
    if _check_digest(template, first, task.path, digest) < LEAST_EVENTS:
        raise BadInput(f"{template}: holds fewer than {LEAST_EVENTS} events, too few for a closure test")
    if template_scores is not None:
        _check_digest(template_scores, "score", template, events.sha256(template))
        _check_rows(template_scores, template, "/", first)
    if latents:
        encoded, of_template = latents
        _check_digest(encoded, "latent", task.path, digest)
        _check_rows(encoded, task.path, group, task.mass, "latent")
        _check_digest(of_template, "latent", template, events.sha256(template))
        _check_rows(of_template, template, "/", first, "latent")


def _check_digest(path: Path, column: str, source: Path, digest: str) -> int:
    """The number of a file's events; refuses an empty file, and one that names another digest of `source`."""
    with events.opened(path) as file:
        number = events.count(file, [column], path)
        attributes = events.attributes(file)
    if not number:
        raise BadInput(f"{path}: holds no events; make it again")
    if {str(attributes[name]) for name in ("events_sha256", "task_sha256") if name in attributes} - {digest}:
        raise BadInput(f"{path}: was made of another file than {source}, or of an earlier one; make it again")
    return number


def _check_rows(scores: Path, source: Path, group: str, column: str, name: str = "score") -> None:
    """Refuse scores, or latents, unless there is one for each row of `column` in the group."""
    with events.opened(scores) as file:
        scored, number = events.attribute(file, "group") or group, events.count(file, [name], scores)
    if scored != group:
        raise BadInput(f"{scores}: holds {name}s of '{scored}' in {source}; make those of '{group}'")
    with events.opened(source, group) as file:
        rows = events.count(file, [column], source)
    if number != rows:
        raise BadInput(f"{scores}: holds {number} {name}s, and '{group}' in {source} {rows} events; make it again")

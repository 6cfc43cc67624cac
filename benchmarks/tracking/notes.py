"""What MLflow's pages say in words, in Markdown: of an experiment, its runs, and its models."""

from collections.abc import Mapping
from typing import Any

from sideband.benchmarks import catalogue
from sideband.infer import metadata

ROLES = {
    "template": "makes background events like those of the signal region",
    "signal": "makes events like the signal that the fit found",
    "score": "scores events; larger is more like signal",
    "density": "gives the logarithm of the background's density",
    "encoder": "encodes events as the classifier sees them",
}


def experiment(suite: str, about: str, runs: str, view: str) -> str:
    """Of an experiment: what the suite is, what its runs are, and where its report is.

    Its links stand in the first line, which is all that MLflow shows of a note until it is opened.

    Args:
        suite: the suite.
        about: what it says of itself.
        runs, view: where the table of runs is, and its view of the methods.
    """
    return (
        f"[Runs]({runs}) · [Methods]({view}) of the suite **{suite}**: {about}.\n\n"
        f"- The run `{suite}` holds the suite and its report, `report/index.html`. Beneath it is a run for each task "
        "(window, injection, seed), and beneath that one for each method.\n"
        "- The tag `kind` of a run is `suite`, `task`, `method`, or `shared` for a fit that methods share."
    )


def suite(name: str, about: str) -> str:
    """Of the run of a suite."""
    return f"Suite **{name}**: {about}. Its report is `report/index.html` among the artifacts."


def task(name: str, place: str) -> str:
    """Of the run of a task."""
    return f"Task {place} of suite {name}: the events that every method beneath has seen."


def cell(suite: str, place: str, method: str, models: Mapping[str, str]) -> str:
    """Of the run of a cell; `models` are the addresses of its registered models by role."""
    entry = catalogue.get(method)
    what = "a fit that methods share" if entry.shared else "a method"
    lines = [f"**{entry.title}**, {what}{_paper(entry.paper)}, on task {place} of suite {suite}."]
    lines += [f"- `{address}` {ROLES[role]}" for role, address in models.items()]
    return "\n".join([lines[0], "", *lines[1:]] if models else lines)


def model(told: Mapping[str, Any]) -> str:
    """Of a registered model, from the metadata of one of its files."""
    entry, role = catalogue.get(told["method"]), told["role"]
    return (
        f"The {role} of {entry.title}{_paper(entry.paper)}: it {ROLES[role]}. Every version is the file of one cell, "
        "and its alias names suite, window, injection and seed. The alias `best-SUITE` is on the models of the method "
        "with the highest median SIC at a background efficiency of 10⁻³ in that suite."
    )


def version(told: Mapping[str, Any], address: str) -> str:
    """Of a version of a registered model, from the metadata of its file: how to open it, and what goes in and out."""
    lines = [f"It {ROLES[told['role']]}. Fitted to: {told.get('dataset', 'events of your own')}."]
    if told["window"]:
        lines[0] += f" Window: {told['window'][0]:g}–{told['window'][1]:g} {told.get('mass_unit') or ''}".rstrip() + "."
    opened = f'mlflow.pyfunc.load_model("{address}")'
    lines += ["", f"`{opened}` opens it. `check.npz` beside it holds inputs with their outputs.", ""]
    lines += ["| port | columns | width |", "| --- | --- | --- |"]
    for kind in ("inputs", "outputs"):
        for name, port in metadata.ports(told[kind]).items():
            columns = (f"{one} [{unit}]" if unit else one for one, unit in zip(port.columns, port.units, strict=True))
            lines.append(f"| {kind[:-1]} `{name}` | {', '.join(columns)} | {port.width} |")
    return "\n".join(lines)


def _paper(paper: str) -> str:
    return f" ([{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')}))" if paper else ""

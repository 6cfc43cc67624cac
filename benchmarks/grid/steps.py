"""The steps of the grid: the rules of the Snakefile, the stage that each belongs to, and how long it takes."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sideband.benchmarks import catalogue

if TYPE_CHECKING:
    from sideband.benchmarks.grid.suite import Suite

STAGES = ("train", "export", "infer", "benchmark")  # each has its container image and its target in the Snakefile
DEFAULT_SECONDS = 5.0  # of a step that no budget names


@dataclass(frozen=True)
class Step:
    """One kind of step.

    Args:
        stage: the stage that runs it.
        of: what has such a step of its own: "task", "fit" (methods and shared fits), "method", "template" (methods that
            make one), "encoder" and "signal" (methods that have one), or "graph" (each exported graph of a method).
        alone: whether it needs the machine to itself.
    """

    stage: str
    of: str = "method"
    alone: bool = False


STEPS = {
    "task": Step("train", of="task"),
    "fit": Step("train", of="fit"),
    "export": Step("export"),
    "compare": Step("export", of="graph", alone=True),
    "template": Step("infer", of="template"),
    "signal": Step("infer", of="signal"),
    "score": Step("infer"),
    "template_scores": Step("infer", of="template"),
    "data_scores": Step("infer", of="template"),
    "latents": Step("infer", of="encoder"),
    "template_latents": Step("infer", of="encoder"),
    "throughput": Step("infer", of="graph", alone=True),
    "control": Step("benchmark", of="task"),
    "evaluate": Step("benchmark"),
    "report": Step("benchmark", of="task", alone=True),
}


def rule(step: str, method: str = "", role: str = "") -> str:
    """The name of a step's rule."""
    assert step in STEPS
    return "_".join(part for part in (step, role, method) if part)


def rules(suite: "Suite", stage: str | None = None) -> Iterator[str]:
    """The names of all rules that a suite may have, or of those of one stage with its target."""
    yield from STAGES if stage is None else [stage]
    for name, step in STEPS.items():
        if stage not in (None, step.stage):
            continue
        if step.of == "task":
            yield rule(name)
        for method in [*suite["methods"], *(suite.shared() if step.of == "fit" else [])]:
            roles = catalogue.get(method).roles
            if step.of in ("fit", "method", *roles):
                yield rule(name, method)
            elif step.of == "graph":
                yield from (rule(name, method, role) for role in roles)


def is_alone(rule: str) -> bool:
    """Whether a rule's jobs need the machine to themselves."""
    return rule.startswith(tuple(name for name, step in STEPS.items() if step.alone))


def traces(suite: "Suite") -> dict[str, int]:
    """A resource for each method's exports: one at a time, so that the later ones find the graph that it has traced."""
    return {trace(suite, method): 1 for method in suite["methods"]}


def trace(suite: "Suite", method: str) -> str:
    """The resource of a method's exports; Snakemake takes names of letters and numbers alone."""
    return f"trace{list(suite['methods']).index(method)}"


def seconds_to_come(suite: "Suite") -> dict[str, float]:
    """Expected seconds from the start of each fit to the end of all that stand on it, were there cores enough."""
    under = {name: (suite.base(name), *suite.needs(name)) for name in (*suite.shared(), *suite["methods"])}

    @functools.cache
    def of(fit: str) -> float:
        after = (of(name) for name, needs in under.items() if fit in needs)
        return seconds(rule("fit", fit), suite["budget"]) + max(after, default=0.0)

    return {name: of(name) for name in under}


def seconds(rule: str, budget: dict[str, float]) -> float:
    """The expected seconds of a rule's job on one core: by the first entry of a suite's budget that begins its name."""
    return next((seconds for name, seconds in budget.items() if rule.startswith(name)), DEFAULT_SECONDS)

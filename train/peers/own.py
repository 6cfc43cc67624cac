"""Sideband's own fits in the race: they run to their end as ever, and their looks are judged afterwards."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sideband.benchmarks import entries
from sideband.benchmarks.events.task import Task
from sideband.infer import draws
from sideband.train import methods, ports, saved, template
from sideband.train.cell import MODEL
from sideband.train.classifiers.settings import ClassifierSettings
from sideband.train.peers.race import Clock, Race
from sideband.train.run import Run
from sideband.train.saved import Saved
from sideband.train.suite import Suite

Spent = tuple[float, float]


@dataclass
class Watched(Run):
    """A run that remembers what its last fit would have ended with, at looks as far apart as those of the peers."""

    clock: Clock = field(default_factory=Clock)
    seen: list[tuple[Spent, dict[str, Tensor]]] = field(default_factory=list)
    fit: tuple[str, nn.Module] = ("", nn.Module())

    def keep(self, name: str, model: nn.Module, weights: Any) -> None:
        """Keep a copy of the weights where it is time for a look."""
        spent = self.clock.read()
        with self.clock.paused():
            if name != self.fit[0]:  # the shared fits before it are part of its time, and nothing to look at
                self.seen, self.fit = [], (name, model)
            if self.clock.due():
                self.seen.append((spent, {key: value.clone() for key, value in weights.items()}))


def train(method: str, task: Task, suite: Suite, race: Race, run: Watched, out: Path) -> dict[str, Path]:
    """Fit what a method stands on, and go back to the first look that ends the race.

    Args:
        method: one that fits nothing but its classifier itself, which is no part of the race.
        task, suite: the task, and the settings.
        race: judges the looks.
        run: watches the fits.
        out: folder for the fits, each in one of its own.

    Returns:
        model.pt of each fit that the method stands on, by name.
    """
    settings = methods.settings(method, suite.settings(method), method)
    needs = _needs(method, settings, task, suite, run)
    module = methods.load(method).fit(task, settings, needs, run).modules["template"].eval()
    spent, (_, model) = run.clock.read(), run.fit
    end = {key: value.clone() for key, value in model.state_dict().items()}
    drawn = draws.from_task(task.path, ports.inputs(module, task), task.seed)
    drawn = dataclasses.replace(drawn, target=race.masses)
    for each, weights in (*run.seen, (spent, end)):
        model.load_state_dict(weights)
        if race.over(each, template.run(module, drawn, method, run.device).events.features):
            break
    for name, fit in needs.items():
        fit.save(out / name / MODEL)
    return {name: out / name / MODEL for name in needs}


def _needs(method: str, settings: Any, task: Task, suite: Suite, run: Watched) -> dict[str, Saved]:
    """The shared fits that a method stands on, after those that they stand on."""
    found = {}
    for name in entries.needs(method, vars(settings)):
        own = methods.settings(name, suite.settings(name), name)
        needs = _needs(name, own, task, suite, run)
        modules = methods.load(name).fit(task, own, needs, run).modules
        known = {each: fit.as_need for each, fit in needs.items()}
        of = saved.attributes_of(task)
        found[name] = Saved(name, own, known, task.features, modules, ClassifierSettings(), of)
    return found

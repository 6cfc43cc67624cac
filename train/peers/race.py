"""How long a generator trains until its template closes: looks at the closure while the clock stands still."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.metrics.closure import Closure, closure
from sideband.infer import events
from sideband.infer.draws import TARGET

Array = NDArray[np.float32]

LEAST_SECONDS, GROWTH = 5.0, 1.2  # from one look to the next: so long at least, and so much longer training


class Clock:
    """Wall and CPU seconds, all threads together, since it was made and less what passed while it was paused.

    Args:
        budget: wall seconds when a look is due in any case.
    """

    def __init__(self, budget: float = math.inf) -> None:
        self.budget = budget
        self._start = _now()
        self._last = 0.0

    def read(self) -> tuple[float, float]:
        """Wall and CPU seconds."""
        wall, cpu = (now - start for now, start in zip(_now(), self._start, strict=True))
        return wall, cpu

    def due(self) -> bool:
        """Whether it is time for a look, which then counts as taken."""
        wall, _ = self.read()
        mark = max(self._last * GROWTH, self._last + LEAST_SECONDS)
        if self._last < self.budget:
            mark = min(mark, self.budget)
        if wall < mark:
            return False
        self._last = wall
        return True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the block."""
        before = _now()
        yield
        self._start = tuple(start + now - then for start, now, then in zip(self._start, _now(), before, strict=True))


def _now() -> tuple[float, ...]:
    return time.perf_counter(), time.process_time()


@dataclass(frozen=True)
class Look:
    """What the closure was after so much training."""

    seconds: float
    cpu_seconds: float
    closure: float
    error: float


class Race:
    """The goal, the budget, and the looks so far.

    Args:
        task: with labels; the closure is against its test events, which no fit has seen.
        goal: the closure AUC to reach.
        budget: seconds of training at most.
        most: events a side of the closure test.
        say: takes lines of progress.
    """

    def __init__(self, task: Task, goal: float, budget: float, most: int, say: Callable[[str], None]) -> None:
        test = task.events("test")
        self.truth = test[(test.label == 0) & task.inside(test)].features
        with events.opened(task.path) as file:
            self.masses: Array = file[TARGET][: min(most, len(self.truth))]
        self.goal, self.budget, self.most, self.say = goal, budget, most, say
        self.looks: list[Look] = []

    @property
    def reached(self) -> bool:
        """Whether the last look has found the goal."""
        return bool(self.looks) and self.looks[-1].closure <= self.goal and self.looks[-1].seconds <= self.budget

    def over(self, spent: tuple[float, float], made: Array) -> bool:
        """Look at features `[N, d]` that were made after so many wall and CPU seconds; whether training may end."""
        found: Closure = closure(self.truth, made, self.most)
        self.looks.append(Look(*spent, found.auc, found.error))
        self.say(f"{spent[0]:7.1f} s of training, of {self.budget:.0f} s at most: closure {found.auc:.4f}")
        return self.reached or spent[0] >= self.budget

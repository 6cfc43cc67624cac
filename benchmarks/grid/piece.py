"""Pieces of a suite's grid, so that several machines or evenings share a long suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sideband.benchmarks.events.task import seed_name
from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.infer.errors import BadInput


def named(suite: Suite, window: str | None, injection: str | None, seed: str | None) -> tuple[str, str, str]:
    """Window, injection and seed of a place in the grid; the suite's first where None."""
    window = window or next(iter(suite.windows()))
    injection = injection or next(iter(suite.at(window).injections()))
    return window, injection, seed or next(iter(suite.seeds(injection)))


@dataclass(frozen=True)
class Piece:
    """A piece of a grid: these seeds and these methods alone, with the fits that the methods stand on; all if empty."""

    seeds: Sequence[int] = ()
    methods: Sequence[str] = ()

    def check(self, suite: Suite) -> None:
        """Raises `BadInput` for what the suite does not have."""
        seeds = sorted({seed for injection in suite.injections() for seed in suite.seeds(injection).values()})
        for option, wanted, known in (("seeds", self.seeds, seeds), ("methods", self.methods, suite["methods"])):
            for each in wanted:
                if each not in known:
                    there = ", ".join(map(str, known))
                    raise BadInput(f"--{option} {each}: not in suite {suite.name}; there are: {there}")

    def of(self, suite: Suite) -> list[Cell]:
        """Its cells in the suite's grid, with those of shared fits."""
        names = [seed_name(seed) for seed in self.seeds]
        methods = {*self.methods}.union(*map(suite.stands_on, self.methods))
        return [
            each
            for each in suite.cells(shared=True)
            if (not names or each.seed in names) and (not methods or each.method in methods)
        ]

    def words(self) -> dict[str, str]:
        """What tells the Snakefile, as `read` takes it back."""
        chosen = {"seeds": self.seeds, "methods": self.methods}
        return {name: ",".join(map(str, values)) for name, values in chosen.items() if values}

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Piece":
        """The piece that Snakemake's configuration names."""
        seeds, methods = (
            [each for each in str(config.get(key, "")).split(",") if each] for key in ("seeds", "methods")
        )
        return cls([int(seed) for seed in seeds], methods)

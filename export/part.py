"""One graph of a cell: what is exported, and what it is compared with."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sideband.benchmarks import catalogue
from sideband.benchmarks.events.task import Task
from sideband.export import graph
from sideband.infer.metadata import Port
from sideband.train import ports
from sideband.train.classifiers.step import Classifier, Encoded
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.saved import Saved

Feeds = Mapping[str, NDArray[np.float32]]
LATENT_ROUNDING = 2e-6  # of a latent: what float32 leaves of a chain of splines
TRIALS = 8  # random roundings of the latents of the example


@dataclass(frozen=True)
class Part:
    """One graph of a cell: a module, trees, or trees behind an encoder.

    Args:
        stem: what the file is called.
        role: "template", "signal", "score", "density" or "encoder".
        module: what gives the output, or, where there are trees, what gives their input; None for trees alone.
        trees: the trees.
    """

    stem: str
    role: str
    module: nn.Module | None
    trees: TreeEnsemble | None = None

    def inputs(self, task: Task) -> dict[str, Port]:
        """The inputs of the graph by name, in order."""
        return {"features": ports.features(task)} if self.module is None else ports.inputs(self.module, task)

    def outputs(self, feeds: Feeds) -> tuple[str, ...]:
        """The names of the outputs, of which a template may have two."""
        few = {name: values[:2] for name, values in feeds.items()}
        return ports.named(self.role, 1 if self.trees is not None else len(self._run(few)))

    def graph(self, feeds: Feeds, cache: Path | None, code: str) -> onnx.ModelProto:
        """The ONNX graph; `feeds` are realistic inputs, `cache` and `code` as in `graph.from_module`."""
        trees = graph.from_trees(self.trees) if self.trees is not None else None
        if self.module is None:
            assert trees is not None
            return trees
        few = {name: values[:7] for name, values in feeds.items()}
        if trees is None:
            return graph.from_module(self.module, few, self.outputs(feeds), cache, code)
        return graph.behind(graph.from_module(self.module, few, ("latent",), cache, code), trees)

    def predict(self, feeds: Feeds) -> NDArray[Any]:
        """What the fitted part gives, in float32 as far as it is a module `[N, width]`, all outputs side by side."""
        if self.module is None:
            return self._by_trees(feeds["features"])
        found = np.column_stack([output.numpy() for output in self._run(feeds)])
        return found if self.trees is None else self._by_trees(found)

    def exact(self, feeds: Feeds) -> NDArray[np.float64]:
        """The same in float64."""
        if self.module is None:
            return self._by_trees(feeds["features"])
        double = copy.deepcopy(self.module).double()
        found = ports.run(double, {name: torch.from_numpy(values).double() for name, values in feeds.items()})
        table = np.column_stack([output.numpy() for output in found])
        return table if self.trees is None else self._by_trees(table)

    def resolution(self, feeds: Feeds) -> float:
        """The least difference that means anything.

        A module may name its own. Behind an encoder, rounding carries some events across the threshold of a tree, so
        it is measured what rounding does to the score.
        """
        if self.module is None or self.trees is None:
            return float(getattr(self.module, "resolution", 0.0))
        (latent,) = (output.numpy() for output in self._run(feeds))
        random = np.random.default_rng(0)
        score = self.trees.predict(latent)
        moved = (latent + LATENT_ROUNDING * random.choice([-1, 1], latent.shape) for _ in range(TRIALS))
        return 2 * max(float(np.abs(self.trees.predict(each.astype(np.float32)) - score).max()) for each in moved)

    @property
    def jumps(self) -> bool:
        """Whether rounding carries events across thresholds."""
        return self.module is not None and self.trees is not None

    def flop_per_event(self, feeds: Feeds) -> float | None:
        """Floating-point operations of matrix products per event, as torch counts them; None where trees decide."""
        if self.module is None or self.trees is not None:
            return None
        shapes = {name: torch.empty(values.shape, device="meta") for name, values in feeds.items()}
        with FlopCounterMode(display=False) as counter:
            ports.run(copy.deepcopy(self.module).to("meta"), shapes)  # counted, not computed
        return counter.get_total_flops() / len(next(iter(feeds.values())))

    def _run(self, feeds: Feeds) -> tuple[torch.Tensor, ...]:
        assert self.module is not None
        return ports.run(self.module, {name: torch.from_numpy(values) for name, values in feeds.items()})

    def _by_trees(self, table: NDArray[Any]) -> NDArray[np.float64]:
        assert self.trees is not None
        return self.trees.predict(table)[:, None]


def parts(fit: Saved) -> Iterator[Part]:
    """Every graph of a fit: its modules, its classifier as the score, and the cross-fit's folds."""
    for role in catalogue.get(fit.method).roles:
        if role in fit.modules:
            yield Part(role, role, fit.modules[role])
    encoder = fit.modules.get("encoder")
    if fit.classifier is not None:
        yield _scored("score", encoder, fit.classifier)
    for fold, classifier in enumerate(fit.folds):
        yield _scored(f"fold{fold}", encoder, classifier)


def _scored(stem: str, encoder: nn.Module | None, classifier: Classifier) -> Part:
    if isinstance(classifier, TreeEnsemble):
        return Part(stem, "score", encoder, classifier)
    return Part(stem, "score", classifier if encoder is None else Encoded(encoder, classifier))

"""The classifiers of a cell: the one that scores, and those of the folds of a cross-fit."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sideband.benchmarks.events.tables import Events
from sideband.benchmarks.events.task import Task
from sideband.train import ports
from sideband.train.classifiers.merge import settings_of
from sideband.train.classifiers.settings import Array
from sideband.train.classifiers.step import Classifier, train_classifier
from sideband.train.methods import Contrast, Fitted
from sideband.train.run import Run
from sideband.train.saved import Saved
from sideband.train.template import Template

ROWS = 20_000  # events that are encoded at once, for bounded memory

Ranges = dict[str, dict[str, list[float]]]


def classify(
    result: Saved, fitted: Fitted, drawn: Template | None, task: Task, folds: int, run: Run
) -> tuple[Ranges, Array]:
    """Train the classifiers of a fit, where it has any, and put them into `result`.

    A method whose score is a module of its own has no classifier and no folds, because an excess must come from the
    same kind of classifier as the score. One that makes its score from classifiers of others has nothing to train.

    Returns:
        The range of each feature that each graph of the fit has seen, by role, and the window's data `[N, d]`.
    """
    data = task.events("data")
    rows = np.flatnonzero(task.inside(data))
    inside = data[rows]
    seen = contrast = fitted.contrast
    if drawn is not None and "score" not in result.modules:
        seen = Contrast(inside.features, drawn.events.features, drawn.weight)
        contrast = seen
        encoder = result.modules.get("encoder")
        if encoder is not None:
            ours, theirs = (_encoded(encoder, events, run.device) for events in (inside, drawn.events))
            contrast = Contrast(ours, theirs, drawn.weight)
        # Row i, of the data as of the template, is left to the classifier of fold i modulo folds.
        for fold in range(folds):
            part = _without(contrast, rows % folds == fold, np.arange(len(drawn)) % folds == fold)
            result.folds.append(_trained(f"fold{fold}", part, result, run))
    if contrast is not None:
        result.classifier = _trained("classifier", contrast, result, run)
    if fitted.classifier is not None:
        result.classifier = fitted.classifier
        result.classifier_settings = settings_of(fitted.classifier, result.classifier_settings)
    return _ranges(task, result.modules, seen), inside.features


def _without(contrast: Contrast, positive: NDArray[np.bool_], negative: NDArray[np.bool_]) -> Contrast:
    """Two samples less the marked events of each."""
    weight = None if contrast.weight is None else contrast.weight[~negative]
    return Contrast(contrast.positive[~positive], contrast.negative[~negative], weight)


def _trained(name: str, contrast: Contrast, result: Saved, run: Run) -> Classifier:
    sides = contrast.positive, contrast.negative, contrast.weight
    return train_classifier(name, *sides, result.classifier_settings, run)


def _encoded(encoder: nn.Module, table: Events, device: torch.device) -> Array:
    """Events in the latent space `[N, k]`."""
    encoder.to(device)
    parts = []
    for start in range(0, len(table), ROWS):
        part = table[start : start + ROWS]
        feeds = {"features": torch.from_numpy(part.features), "condition": torch.from_numpy(part.mass[:, None])}
        (latent,) = ports.run(encoder, {name: values.to(device) for name, values in feeds.items()})
        parts.append(latent.cpu().numpy())
    return np.concatenate(parts)


def _ranges(task: Task, modules: Mapping[str, nn.Module], contrast: Contrast | None) -> Ranges:
    ranges = {role: ports.fitted_ranges(module) for role, module in modules.items()}
    encoder = ranges.get("encoder")
    if contrast is not None:
        low = np.minimum(contrast.positive.min(0), contrast.negative.min(0)).tolist()
        high = np.maximum(contrast.positive.max(0), contrast.negative.max(0)).tolist()
        ranges["score"] = encoder or list(zip(low, high, strict=True))
    return {role: _by_feature(task, found) for role, found in ranges.items() if found is not None}


def _by_feature(task: Task, ranges: list[tuple[float, float]]) -> dict[str, list[float]]:
    """The range of each feature, from those of its numbers."""
    first = np.cumsum([0, *task.features.values()])[:-1]
    low, high = np.array(ranges).T
    edges = np.stack([np.minimum.reduceat(low, first), np.maximum.reduceat(high, first)], axis=1)
    return dict(zip(task.features, edges.tolist(), strict=True))

"""A classifier that knows the signal: photons against χ → γγ of one mass and lifetime, for tests on all the others.

Supervised in arXiv:2312.11618, on decays with a lifetime of 1 ns. χ has one energy and photons have many, so photons
are weighted to the decays' deposited energies: otherwise the energy would be most of what is learned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sideband.benchmarks.events.task import Task
from sideband.benchmarks.metrics.matching import matched_weights
from sideband.infer import events
from sideband.infer.errors import BadInput
from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as train
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower_classifier import ShowerClassifier, ShowerClassifierSettings
from sideband.train.run import Run
from sideband.train.settings import Positive


@dataclass(frozen=True)
class Settings:
    """Mass of χ in GeV, the network, and its training (50 epochs of 1,000 a batch, the best by validation loss)."""

    mass: Positive = 5.0
    network: ShowerClassifierSettings = field(default_factory=ShowerClassifierSettings)
    training: Training = field(default_factory=lambda: Training(50, 1000, 1e-3, validation=0.2, patience=10, ema=0.99))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The classifier."""
    return {"classifier": ShowerClassifier(settings.network)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train on the task's photons and on the decays that are set aside for it."""
    photons, decays = task.events("data"), task.events("reference")
    mass = events.read(task.path, ["mass"], "reference")["mass"]
    signal = decays.features[np.isclose(mass, settings.mass)]
    if not len(signal):
        there = ", ".join(f"{each:g}" for each in np.unique(mass))
        raise BadInput(f"shared.shower_classifier.mass: {settings.mass:g} GeV; there are decays of {there} GeV")
    weights = matched_weights(photons.features.sum(1), signal.sum(1))
    of_photons, of_signal = (weight[weight > 0] for weight in weights)
    if not len(of_signal):
        raise BadInput(f"{task.path}: too few photons of the decays' energies to train a classifier on; give more")
    columns = (
        np.concatenate([signal[weights[1] > 0], photons.features[weights[0] > 0]]),
        np.repeat([1.0, 0.0], [len(of_signal), len(of_photons)]),
        np.concatenate([of_signal, of_photons * len(of_signal) / of_photons.sum()]),
    )
    tensors = [torch.from_numpy(column.astype(np.float32)).to(run.device) for column in columns]

    def loss(model: ShowerClassifier, batch: Batch) -> Tensor:
        showers, label, weight = (rows[0] for rows in batch.rows)
        return functional.binary_cross_entropy_with_logits(model(showers), label, weight)[None]

    run.seeded("classifier")
    classifier = ShowerClassifier(settings.network).to(run.device)
    train("classifier", classifier, [Player(list(classifier.parameters()), loss)], tensors, settings.training, run)
    return Fitted({"classifier": classifier})

"""A classifier that knows the signal: photons against χ → γγ of one mass, for tests on all masses.

The supervised classifier of arXiv:2312.11618, trained there on decays with a lifetime of 1 ns. χ has one energy and
photons have many. We weight the photons to the deposited energies of the decays, because otherwise the classifier would
learn little but the energy.
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
from sideband.train.fit import fit as run_fit
from sideband.train.methods import Fitted, Needed
from sideband.train.nets.shower_classifier import ShowerClassifier, ShowerClassifierSettings
from sideband.train.run import Run
from sideband.train.settings import Positive


@dataclass(frozen=True)
class Settings:
    """Network and training of the authors' code."""

    mass: Positive = 5.0  # of χ [GeV]: the heaviest in the paper
    network: ShowerClassifierSettings = field(default_factory=ShowerClassifierSettings)  # authors' code
    # Batch and rate as in the authors' code, who train for 50 epochs (6,000 steps); the rest is ours.
    training: Training = field(default_factory=lambda: Training(batch=1000, interval=100, validation=0.2, ema=0.99))


def build(settings: Settings, features: int, needs: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The classifier."""
    return {"classifier": ShowerClassifier(settings.network)}


def fit(task: Task, settings: Settings, needs: Mapping[str, Needed], run: Run) -> Fitted:
    """Train on the task's photons and on the decays in `reference/`.

    Raises:
        BadInput: no decays of this mass, or too few photons of their energies.
    """
    photons, decays = task.events("data"), task.events("reference")
    mass = events.read(task.path, ["mass"], "reference")["mass"]
    signal = decays.features[np.isclose(mass, settings.mass)]
    if not len(signal):
        there = ", ".join(f"{each:g}" for each in np.unique(mass))
        raise BadInput(f"shared.shower_classifier.mass: no decays of {settings.mass:g} GeV; choose one of {there} GeV")
    weights = matched_weights(photons.features.sum(1), signal.sum(1))
    of_photons, of_signal = (weight[weight > 0] for weight in weights)
    if not len(of_signal):
        raise BadInput(f"{task.path}: too few photons with the energies of the decays to train a classifier; give more")
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
    run_fit("classifier", classifier, [Player(list(classifier.parameters()), loss)], tensors, settings.training, run)
    return Fitted({"classifier": classifier})

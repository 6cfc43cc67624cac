"""An ensemble of boosted trees, fitted by scikit-learn's histogram gradient boosting.

The members differ by their seed, that is by the half of the events that they hold out; their probabilities are
averaged, as in "Back to the Roots" (arXiv:2309.13111).
"""

from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from sideband.benchmarks.metrics.argos import argos
from sideband.infer.errors import GateFailed
from sideband.train.classifiers.settings import Array, ClassifierSettings, Label, Weight
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.run import Run, derived_seed


def fit_trees(
    name: str, features: Array, label: Label, weight: Weight | None, settings: ClassifierSettings, run: Run
) -> TreeEnsemble:
    """Fit the members one after the other; arguments as `train_classifier` passes them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Balanced by shifting the log-odds afterwards, not by weights: weighted fits take three times as long in
    # scikit-learn 1.9, and came out no more sensitive on these events.
    shift = float(np.log((label == 0).sum() / (label == 1).sum()))
    members = []
    for member in range(settings.members):
        checkpoint = f"{name}-{member}.npz"
        done = run.unfinished(checkpoint, TreeEnsemble.load)
        if done is not None:
            members.append(done)
            continue
        seed = derived_seed(run.seed, name, member) % 2**32
        classifier = HistGradientBoostingClassifier(
            max_iter=settings.iterations,
            learning_rate=settings.learning_rate,
            max_leaf_nodes=settings.leaves,
            max_bins=settings.bins,
            early_stopping=settings.choice == "loss",
            validation_fraction=settings.validation,
            n_iter_no_change=settings.patience,
            random_state=seed,
        )
        kept = None
        with threadpool_limits(torch.get_num_threads()):
            if settings.choice == "loss":
                classifier.fit(features, label, sample_weight=weight)
            else:
                kept = _fitted(classifier, features, label, weight, settings.validation, seed)
        trees = TreeEnsemble.from_sklearn(classifier, shift, kept)
        if trees.wrong():
            raise GateFailed(f"{name}: the trees' {trees.wrong()}; lower the learning rate, or look for odd features")
        with run.checkpoint(checkpoint) as temporary:
            trees.save(temporary)
        members.append(trees)
        run.progress(name, member + 1, settings.members)
    return TreeEnsemble.merge(members)


def _fitted(classifier: Any, features: Array, label: Label, weight: Weight | None, validation: float, seed: int) -> int:
    """Fit all trees to one part of the events; returns with how many of them most stands out in the other part."""
    held_out = np.random.default_rng(seed).random(len(label)) < validation
    ours, theirs = held_out & (label == 1), held_out & (label == 0)
    of_ours, of_theirs = (None if weight is None else weight[rows] for rows in (~held_out, theirs))
    classifier.fit(features[~held_out], label[~held_out], sample_weight=of_ours)
    stages = zip(*(classifier.staged_decision_function(features[rows]) for rows in (ours, theirs)), strict=True)
    return int(np.argmax([argos(data, template, of_theirs) for data, template in stages])) + 1

"""An ensemble of boosted trees, fitted by scikit-learn's histogram gradient boosting.

The members differ by their seed, that is by the half of the events that they hold out; their probabilities are
averaged, as in "Back to the Roots" (arXiv:2309.13111).
"""

import numpy as np
import torch
from threadpoolctl import threadpool_limits

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
        classifier = HistGradientBoostingClassifier(
            max_iter=settings.iterations,
            learning_rate=settings.learning_rate,
            max_leaf_nodes=settings.leaves,
            max_bins=settings.bins,
            early_stopping=True,
            validation_fraction=settings.validation,
            n_iter_no_change=settings.patience,
            random_state=derived_seed(run.seed, name, member) % 2**32,
        )
        with threadpool_limits(torch.get_num_threads()):
            classifier.fit(features, label, sample_weight=weight)
        trees = TreeEnsemble.from_sklearn(classifier, shift)
        if trees.wrong():
            raise GateFailed(f"{name}: the trees' {trees.wrong()}; lower the learning rate, or look for odd features")
        with run.checkpoint(checkpoint) as temporary:
            trees.save(temporary)
        members.append(trees)
        run.progress(name, member + 1, settings.members)
    return TreeEnsemble.merge(members)

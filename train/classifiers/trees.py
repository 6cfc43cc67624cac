"""A boosted-tree ensemble as plain arrays: these are saved, exported, and compared with the export."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sideband.train.files import Damaged, read_arrays

# The type of each field's array.
WHOLE = dict.fromkeys(("member", "tree", "feature", "left", "right", "features"), np.dtype(np.int64))
REAL = dict.fromkeys(("threshold", "value", "baseline"), np.dtype(np.float64))


@dataclass(frozen=True)
class TreeEnsemble:
    """Members of boosted trees whose probabilities are averaged.

    All nodes of all trees in one list; a tree's nodes are contiguous and its root comes first.

    Args:
        member, tree: the member and the tree (counted over all members) each node belongs to.
        feature, threshold: the split of an inner node: left where feature <= threshold.
        left, right: children, as positions within the tree; -1 in leaves.
        value: what a leaf adds to its member's log-odds.
        baseline: log-odds each member starts from `[members]`.
        features: number of features.
    """

    member: NDArray[np.int64]
    tree: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    baseline: NDArray[np.float64]
    features: int

    @classmethod
    def from_sklearn(cls, classifier: Any, shift: float = 0.0, trees: int | None = None) -> "TreeEnsemble":
        """The first trees of one fitted binary `HistGradientBoostingClassifier` as one member, its log-odds shifted."""
        tables = [predictors[0].nodes for predictors in classifier._predictors[:trees]]
        nodes: Any = np.concatenate(tables)
        leaf = nodes["is_leaf"].astype(bool)
        if nodes["is_categorical"].any():
            raise ValueError("categorical splits are not supported")
        return cls(
            member=np.zeros(len(nodes), dtype=np.int64),
            tree=np.repeat(np.arange(len(tables)), [len(table) for table in tables]),
            feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
            threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
            left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
            right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
            value=np.where(leaf, nodes["value"], 0.0),
            baseline=np.asarray(classifier._baseline_prediction, dtype=np.float64).reshape(1) + shift,
            features=int(classifier.n_features_in_),
        )

    @classmethod
    def merge(cls, ensembles: "list[TreeEnsemble]") -> "TreeEnsemble":
        """All members of several ensembles in one."""
        members = np.cumsum([0, *(len(part.baseline) for part in ensembles)])
        trees = np.cumsum([0, *(int(part.tree.max(initial=-1)) + 1 for part in ensembles)])
        shifted = [
            {**vars(part), "member": part.member + members[i], "tree": part.tree + trees[i]}
            for i, part in enumerate(ensembles)
        ]
        names = [name for name in vars(ensembles[0]) if name != "features"]
        return cls(
            **{name: np.concatenate([part[name] for part in shifted]) for name in names}, features=ensembles[0].features
        )

    @property
    def roots(self) -> NDArray[np.int64]:
        """The position of each tree's root in the list of nodes."""
        return np.flatnonzero(np.diff(self.tree, prepend=-1))

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """The mean probability `[N]` of features `[N, d]`, in float64."""
        return (1 / (1 + np.exp(-self.log_odds(features)))).mean(0)

    def log_odds(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Each member's log-odds `[members, N]` of features `[N, d]`, in float64."""
        odds = np.repeat(self.baseline[:, None], len(features), axis=1)
        rows = np.arange(len(features))
        for root in self.roots:
            place = np.full(len(features), root)
            while True:
                inner = self.left[place] >= 0
                if not inner.any():
                    break
                goes_left = features[rows, self.feature[place]] <= self.threshold[place]
                child = np.where(goes_left, self.left[place], self.right[place])
                place = np.where(inner, root + child, place)
            odds[self.member[root]] += self.value[place]
        return odds

    def save(self, path: Path) -> None:
        """Write to an .npz file."""
        with open(path, "wb") as handle:
            np.savez(handle, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "TreeEnsemble":
        """Read what `save` wrote; raises `Damaged`."""
        return cls.from_arrays(read_arrays(path))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "TreeEnsemble":
        """An ensemble of the fields by name, `features` among them; raises `Damaged` where they are not one."""
        for name, kind in {**WHOLE, **REAL}.items():
            found = arrays.get(name)
            if found is None or found.dtype != kind or found.ndim != (name != "features"):
                raise Damaged(f"the trees' '{name}' is missing, or not what it should be")
        if arrays.keys() - {**WHOLE, **REAL}.keys():
            raise Damaged("there are arrays that no trees have")
        fields: dict[str, Any] = {**arrays, "features": int(arrays["features"])}
        trees = cls(**fields)
        wrong = trees.wrong()
        if wrong:
            raise Damaged(f"the trees' {wrong}")
        return trees

    def wrong(self) -> str:
        """What is wrong with the arrays, as "nodes …"; "" if they are trees and every number is finite."""
        sizes = {len(getattr(self, name)) for name in (*WHOLE, *REAL) if name not in ("features", "baseline")}
        if len(sizes) > 1 or not self.member.size or not self.baseline.size:
            return "arrays are not of one length, or empty"
        if not all(np.isfinite(getattr(self, name)).all() for name in REAL):
            return "values are not finite"
        if self.tree[0] != 0 or not np.isin(np.diff(self.tree), (0, 1)).all():
            return "nodes do not lie tree by tree"
        root = self.roots[self.tree]
        same_member = self.member == self.member[root]
        if not (same_member & (self.member >= 0) & (self.member < len(self.baseline))).all():
            return "nodes belong to no member"
        if not ((self.feature >= 0) & (self.feature < self.features)).all():
            return "splits are on features that there are not"
        # Each node but the roots is the child of one of its tree that stands before it: no way leads out or in circles.
        here, inner = np.arange(len(self.tree)), self.left >= 0
        child = np.concatenate([(root + side)[inner] for side in (self.left, self.right)])
        parent = np.tile(here[inner], 2)
        once = np.array_equal(np.sort(child), np.setdiff1d(here, self.roots))
        if not (once and (parent < child).all() and (self.tree[parent] == self.tree[child]).all()):
            return "branches lead out of their tree, or back"
        leaves = (self.left[~inner] == -1) & (self.right[~inner] == -1)
        return "" if leaves.all() else "leaves have children"

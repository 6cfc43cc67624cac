"""The two leading anti-kt R = 1.0 jets (arXiv:0802.1189), and their N-subjettiness (arXiv:1011.2268), by FastJet."""

from dataclasses import dataclass

import awkward as ak
import fastjet
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RADIUS = 1.0
LEAST_JET = 100.0  # GeV
ETA_MAX = 2.5  # of the leading jet
ANTI_KT = fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS)
# Most likely the axes of the LHC Olympics files: winner-take-all axes shift τ21 visibly.
NSUBJETTINESS = {"measure_definition": "NormalizedMeasure", "axes_definition": "OnePass_KT_Axes", "beta": 1.0}


@dataclass(frozen=True)
class Jets:
    """The two leading jets of each event that passes the selection, the harder first; GeV.

    Args:
        p: px, py, pz, energy `[4, N, 2]`.
        tau: N-subjettiness for N = 1, 2, 3 `[3, N, 2]`.
        constituents: of the first and of the second jet: records (px, py, pz, E) `[N, var]`.
    """

    p: Array
    tau: Array
    constituents: tuple[ak.Array, ak.Array]

    def __len__(self) -> int:
        return self.p.shape[1]


def find(objects: Array, starts: NDArray[np.int64], pt_min: float) -> Jets:
    """Cluster massless objects and keep events whose leading jet has at least `pt_min` GeV and |η| < 2.5.

    Args:
        objects: transverse momentum, η, φ `[objects, 3]`.
        starts: the first object of each event `[events + 1]`.
        pt_min: in GeV.
    """
    pt, eta, phi = objects.T
    p = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": pt * np.cosh(eta)}
    table = ak.unflatten(ak.Array(p), np.diff(starts))
    cluster = fastjet.ClusterSequence(table, ANTI_KT)
    jets, members = cluster.inclusive_jets(min_pt=LEAST_JET), cluster.constituent_index(min_pt=LEAST_JET)
    pt = np.hypot(jets.px, jets.py)
    order = ak.argsort(pt, ascending=False)
    leading = ak.fill_none(ak.max(pt, axis=1), 0.0)
    eta = ak.fill_none(ak.firsts(np.arcsinh(jets.pz / pt)[order]), np.inf)
    kept = (ak.num(pt) >= 2) & (leading > pt_min) & (abs(eta) < ETA_MAX)
    order = order[kept][:, :2]
    jets, members, table = jets[kept][order], members[kept][order], table[kept]
    if not len(jets):
        return Jets(np.empty((4, 0, 2)), np.empty((3, 0, 2)), (table[:0], table[:0]))
    one, other = (table[members[:, jet]] for jet in (0, 1))
    return Jets(
        np.stack([ak.to_numpy(jets[name]) for name in ("px", "py", "pz", "E")]).astype(float),
        np.stack([_subjettiness(found) for found in (one, other)], axis=-1),
        (one, other),
    )


def _subjettiness(constituents: ak.Array) -> Array:
    """τ1, τ2, τ3 `[3, N]` of one jet of each event."""
    cluster = fastjet.ClusterSequence(constituents, ANTI_KT)
    return ak.to_numpy(cluster.njettiness(njets=[1, 2, 3], R0=RADIUS, **NSUBJETTINESS)).T.astype(float)


def number(constituents: tuple[ak.Array, ak.Array]) -> NDArray[np.int64]:
    """How many constituents each jet has `[N, 2]`."""
    return np.stack([ak.to_numpy(ak.num(found.px)) for found in constituents], axis=1)


def leading(constituents: tuple[ak.Array, ak.Array], most: int) -> NDArray[np.float64]:
    """The leading constituents of both jets `[N, 2, most, 3]`: pt [GeV], η, φ; zeros if a jet has fewer."""
    table = np.zeros((len(constituents[0]), 2, most, 3))
    for jet, found in enumerate(constituents):
        pt = np.hypot(found.px, found.py)
        order = ak.argsort(pt, ascending=False)
        for index, values in enumerate((pt, np.arcsinh(found.pz / pt), np.arctan2(found.py, found.px))):
            padded = ak.fill_none(ak.pad_none(values[order], most, axis=1, clip=True), 0.0)
            table[:, jet, :, index] = ak.to_numpy(padded)
    return table

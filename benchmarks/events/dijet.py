"""The columns of our layout from the momenta and substructure of two jets."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DEFAULT = ("m_j1", "dm_j", "tau21_j1", "tau21_j2", "dr_jj")  # the default of suites; the embedded set has no others
FEATURES = (*DEFAULT, "tau32_j1", "tau32_j2")
UNITS = {"m_jj": "TeV", "m_j1": "TeV", "dm_j": "TeV"}

# The LHC Olympics' own convention: keeps the ratio finite for jets of one constituent.
TAU_FLOOR = 1e-5


def mass(p: Array) -> Array:
    """Invariant masses `[…]` of momenta (px, py, pz, energy) `[4, …]`."""
    return np.sqrt(np.maximum(p[3] ** 2 - p[0] ** 2 - p[1] ** 2 - p[2] ** 2, 0))


def lighter_first(p: Array) -> NDArray[np.intp]:
    """The order `[N, 2]` of each event's two jets `[4, N, 2]` by mass; j1 is the lighter, as in arXiv:2109.00546."""
    return np.argsort(mass(p), axis=1, kind="stable")


def columns(p: Array, tau: Array) -> dict[str, Array]:
    """Dijet mass and features, each `[N]`, masses in TeV.

    Args:
        p: px, py, pz, energy of the two jets `[4, N, 2]` in GeV, the lighter first.
        tau: their N-subjettiness for N = 1, 2, 3 `[3, N, 2]`.
    """
    light, heavy = mass(p).T / 1000
    eta, phi = np.arcsinh(p[2] / np.hypot(p[0], p[1])), np.arctan2(p[1], p[0])
    turn = np.abs(phi[:, 0] - phi[:, 1])
    tau21, tau32 = (tau[n] / (TAU_FLOOR + tau[n - 1]) for n in (1, 2))
    return {
        "m_jj": mass(p.sum(axis=2)) / 1000,
        "m_j1": light,
        "dm_j": heavy - light,
        "tau21_j1": tau21[:, 0],
        "tau21_j2": tau21[:, 1],
        "dr_jj": np.hypot(eta[:, 0] - eta[:, 1], np.minimum(turn, 2 * np.pi - turn)),
        "tau32_j1": tau32[:, 0],
        "tau32_j2": tau32[:, 1],
    }

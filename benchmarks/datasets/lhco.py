"""The LHC Olympics R&D feature files: pandas stores (fixed or table) with two jets' momenta, masses and τ's, in GeV.

Data: G. Kasieczka, B. Nachman, D. Shih, "Official datasets for LHC Olympics 2020", Zenodo (CC BY 4.0).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.datasets import Dataset, Events
from infer.errors import BadInput

COLUMNS = tuple(f"{name}j{jet}" for jet in (1, 2) for name in ("px", "py", "pz", "m", "tau1", "tau2", "tau3"))
FEATURES = ("m_j1", "dm_j", "tau21_j1", "tau21_j2", "dr_jj", "tau32_j1", "tau32_j2")
UNITS = {"m_jj": "TeV", "m_j1": "TeV", "dm_j": "TeV"}
DEFAULT = FEATURES[:5]

# The R&D set's own convention: keeps the ratio finite for jets of one constituent.
TAU_FLOOR = 1e-5


def olympics(config: Mapping[str, Any], files: Mapping[str, Path], sha256: str) -> Dataset:
    """LHC Olympics R&D events in our columns, masses in TeV.

    Args:
        config: `features` may choose among `FEATURES`.
        files: `data` (with label), and where given `background` (the extra background) and `simulation` (Herwig).
        sha256: the data set's digest.

    Raises:
        BadInput: not such a file, an unknown feature, values that are not finite, or momenta that are not in GeV.
    """
    features = tuple(config.get("features", DEFAULT))
    for name in features:
        if name not in FEATURES:
            raise BadInput(
                f"dataset.features: '{name}' is no feature of the LHC Olympics files; there are: {', '.join(FEATURES)}"
            )
    data = read(files["data"], features)
    if data.label is None:
        raise BadInput(f"{files['data']}: has no 'label' column; give the R&D features file as dataset.data")
    extra = {part: read(files[part], features) for part in ("background", "simulation") if part in files}
    units = {name: UNITS.get(name, "") for name in ("m_jj", *features)}
    name = f"LHC Olympics R&D: {files['data'].name}"
    return Dataset("m_jj", features, units, data, extra.get("background"), extra.get("simulation"), name, sha256)


def read(path: Path, features: tuple[str, ...] = DEFAULT) -> Events:
    """Read one file; j1 is the lighter jet, as in arXiv:2109.00546."""
    try:
        frame = pd.DataFrame(pd.read_hdf(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise BadInput(f"{path}: not a pandas HDF5 file of the LHC Olympics ({error}); is it complete?") from error
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise BadInput(f"{path}: no column {', '.join(missing)}; an LHC Olympics features file has {' '.join(COLUMNS)}")
    if not len(frame):
        raise BadInput(f"{path}: holds no events")
    bad = [name for name in COLUMNS if not np.isfinite(frame[name]).all()]
    if bad:
        raise BadInput(f"{path}: NaN or infinite values in {', '.join(bad)}; drop those events")
    table = columns(frame)
    if np.median(table["m_jj"]) < 0.1:
        found = np.median(table["m_jj"]) * 1000
        raise BadInput(f"{path}: dijet masses are about {found:.3g}, so not in GeV; give momenta and masses in GeV")
    label = None
    if "label" in frame:
        if not frame["label"].isin((0, 1)).all():
            raise BadInput(f"{path}: column 'label' holds values other than 0 and 1")
        label = frame["label"].to_numpy(np.int8)
    values = np.stack([table[name] for name in features], axis=1).astype(np.float32)
    return Events(table["m_jj"].astype(np.float32), values, label)


def columns(frame: pd.DataFrame) -> dict[str, Any]:
    """The derived columns `[N]` of LHC Olympics rows: masses in TeV, jet 1 the lighter one."""
    jets = [
        {name: frame[f"{name}j{jet}"].to_numpy(float) for name in ("px", "py", "pz", "m", "tau1", "tau2", "tau3")}
        for jet in (1, 2)
    ]
    for jet in jets:
        squared = jet["px"] ** 2 + jet["py"] ** 2 + jet["pz"] ** 2
        jet["e"] = np.sqrt(squared + jet["m"] ** 2)
        jet["eta"] = np.arcsinh(jet["pz"] / np.hypot(jet["px"], jet["py"]))
        jet["phi"] = np.arctan2(jet["py"], jet["px"])
        jet["tau21"] = jet["tau2"] / (TAU_FLOOR + jet["tau1"])
        jet["tau32"] = jet["tau3"] / (TAU_FLOOR + jet["tau2"])
    total = {name: jets[0][name] + jets[1][name] for name in ("e", "px", "py", "pz")}
    m_squared = total["e"] ** 2 - total["px"] ** 2 - total["py"] ** 2 - total["pz"] ** 2
    turn = np.abs(jets[0]["phi"] - jets[1]["phi"])
    swap = jets[0]["m"] > jets[1]["m"]
    light = {name: np.where(swap, jets[1][name], jets[0][name]) for name in ("m", "tau21", "tau32")}
    heavy = {name: np.where(swap, jets[0][name], jets[1][name]) for name in ("m", "tau21", "tau32")}
    return {
        "m_jj": np.sqrt(np.maximum(m_squared, 0)) / 1000,
        "m_j1": light["m"] / 1000,
        "dm_j": (heavy["m"] - light["m"]) / 1000,
        "tau21_j1": light["tau21"],
        "tau21_j2": heavy["tau21"],
        "dr_jj": np.hypot(jets[0]["eta"] - jets[1]["eta"], np.minimum(turn, 2 * np.pi - turn)),
        "tau32_j1": light["tau32"],
        "tau32_j2": heavy["tau32"],
    }

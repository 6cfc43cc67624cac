"""The LHC Olympics R&D feature files: pandas stores (fixed or table) with two jets' momenta, masses and τ's, in GeV.

Data: G. Kasieczka, B. Nachman, D. Shih, "Official datasets for LHC Olympics 2020", Zenodo (CC BY 4.0).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.datasets import Dataset, Events, dijet
from benchmarks.datasets.dijet import DEFAULT, FEATURES, UNITS
from infer.errors import BadInput

COLUMNS = tuple(f"{name}j{jet}" for jet in (1, 2) for name in ("px", "py", "pz", "m", "tau1", "tau2", "tau3"))


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
    """Our columns `[N]` of LHC Olympics rows: masses in TeV, jet 1 the lighter one."""

    def both(name: str) -> Any:
        return np.stack([frame[f"{name}j{jet}"].to_numpy(float) for jet in (1, 2)], axis=1)

    px, py, pz, m = (both(name) for name in ("px", "py", "pz", "m"))
    p = np.stack([px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + m**2)])
    tau = np.stack([both(name) for name in ("tau1", "tau2", "tau3")])
    order = dijet.lighter_first(p)[None]
    return dijet.columns(np.take_along_axis(p, order, 2), np.take_along_axis(tau, order, 2))

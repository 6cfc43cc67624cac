"""The LHC Olympics R&D feature files: pandas stores (fixed or table) with two jets' momenta, masses and τ's, in GeV.

Data: G. Kasieczka, B. Nachman, D. Shih, "Official datasets for LHC Olympics 2020", Zenodo (CC BY 4.0).
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sideband.benchmarks.events import dijet
from sideband.benchmarks.events.dijet import DEFAULT, FEATURES, UNITS
from sideband.benchmarks.events.formats import store
from sideband.benchmarks.events.tables import Dataset, Events
from sideband.infer import events
from sideband.infer.errors import BadInput, in_one_line

COLUMNS = tuple(f"{name}j{jet}" for jet in (1, 2) for name in ("px", "py", "pz", "m", "tau1", "tau2", "tau3"))


def olympics(config: Mapping[str, Any], files: Mapping[str, Path], sha256: str) -> Dataset:
    """LHC Olympics R&D events in our columns, masses in TeV.

    Args:
        config: `features` chooses among `FEATURES`.
        files: `data` (with labels), and if given `background` (the extra background) and `simulation` (Herwig).
        sha256: the data set's digest.

    Raises:
        BadInput: a file is of another kind, a feature is unknown, values are not finite, or momenta are not in GeV.
    """
    features = tuple(config.get("features", DEFAULT))
    for name in features:
        if name not in FEATURES:
            raise BadInput(f"dataset.features: the LHC Olympics files have no '{name}', only {', '.join(FEATURES)}")
    data = read(files["data"], features)
    if data.label is None:
        raise BadInput(f"{files['data']}: has no 'label' column; give the R&D features file as dataset.data")
    extra = {part: read(files[part], features) for part in ("background", "simulation") if part in files}
    units = {name: UNITS.get(name, "") for name in ("m_jj", *features)}
    name = f"LHC Olympics R&D: {files['data'].name}"
    return Dataset("m_jj", features, units, data, extra.get("background"), extra.get("simulation"), name, sha256)


def read(path: Path, features: tuple[str, ...] = DEFAULT) -> Events:
    """Read one file; j1 is the lighter jet, as in arXiv:2109.00546."""
    store.check(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about nodes that PyTables cannot read; missing columns are refused below
            frame = pd.DataFrame(pd.read_hdf(path))
    except Exception as error:  # pandas and PyTables raise nearly anything on unexpected files
        raise BadInput(
            f"{path}: not a pandas HDF5 file of the LHC Olympics ({in_one_line(error)}); fetch or write it again"
        ) from error
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise BadInput(f"{path}: no column {', '.join(missing)}; an LHC Olympics features file has {' '.join(COLUMNS)}")
    present = [name for name in (*COLUMNS, "label") if name in frame]
    if not frame.columns.is_unique or any(frame[name].dtype.kind not in "fiub" for name in present):
        raise BadInput(f"{path}: its columns must have different names and hold numbers; fetch or write it again")
    if not len(frame):
        raise BadInput(f"{path}: holds no events")
    bad = [name for name in COLUMNS if not np.isfinite(frame[name]).all()]
    if bad:
        raise BadInput(f"{path}: NaN or infinite values in {', '.join(bad)}; drop those events")
    with np.errstate(all="ignore"):  # impossible momenta give NaN, which is refused below
        table = {name: events.as_float32(values) for name, values in columns(frame).items()}
    for name in ("m_jj", *features):
        wrong = np.flatnonzero(~np.isfinite(table[name]))
        if len(wrong):
            raise BadInput(f"{path}: {name} of {len(wrong)} events is not finite (first: row {wrong[0]}); drop them")
    if np.median(table["m_jj"]) < 0.1:
        found = np.median(table["m_jj"]) * 1000
        raise BadInput(f"{path}: dijet masses are about {found:.3g}, so not in GeV; give momenta and masses in GeV")
    label = None
    if "label" in frame:
        if not frame["label"].isin((0, 1)).all():
            raise BadInput(f"{path}: column 'label' holds values other than 0 and 1")
        label = frame["label"].to_numpy(np.int8)
    return Events(table["m_jj"], np.stack([table[name] for name in features], axis=1), label)


def columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Our columns `[N]` from rows of the LHC Olympics files: masses in TeV, jet 1 is the lighter one."""

    def both(name: str) -> Any:
        return np.stack([frame[f"{name}j{jet}"].to_numpy(float) for jet in (1, 2)], axis=1)

    px, py, pz, m = (both(name) for name in ("px", "py", "pz", "m"))
    p = np.stack([px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + m**2)])
    tau = np.stack([both(name) for name in ("tau1", "tau2", "tau3")])
    order = dijet.lighter_first(p)[None]
    return dijet.columns(np.take_along_axis(p, order, 2), np.take_along_axis(tau, order, 2))

"""What a user would pick in Sideband's place, beside Sideband's own methods: which rows there are, and what they need.

How a peer is trained is the affair of `train/peers/`; each row is a command of its own.
"""

import importlib.util
from collections.abc import Sequence

from sideband.infer.errors import BadInput

CLOSURE = 0.525  # the AUC to reach

# The peers, each with the modules that it imports beside torch, and the methods of Sideband.
PEERS: dict[str, tuple[str, ...]] = {
    "zuko_nsf": ("zuko",),
    "zuko_maf": ("zuko",),
    "nflows_nsf": ("nflows",),
    "torchcfm_icfm": ("torchcfm", "ot", "torchdiffeq"),
    "edm": (),
    "edm_compiled": (),
}
OWN = ("cathode", "transit", "sigma", "drapes_sb")

EXTRA = "pip install 'sideband[peers]'"
# Its dependencies bring PyTorch Lightning, torchvision and Jupyter, and its classes need none of them.
BY_HAND = {"torchcfm_icfm": "pip install --no-deps torchcfm==1.0.7 torchdiffeq==0.2.5 pot==0.9.7.post1"}


def chosen(asked: Sequence[str] = ()) -> dict[str, str]:
    """The rows to measure, in order, each with the reason why it must be left out, or "".

    Args:
        asked: names of rows; none for all. What is asked for is not left out.

    Raises:
        BadInput: a package is missing.
    """
    rows = {}
    for name in asked or (*PEERS, *OWN):
        missing = [each for each in PEERS.get(name, ()) if importlib.util.find_spec(each) is None]
        reason = f"{', '.join(missing)} not installed; {BY_HAND.get(name, EXTRA)}" if missing else ""
        if reason and (asked or name not in BY_HAND):
            raise BadInput(f"peer {name}: {reason}")
        rows[name] = reason
    return rows

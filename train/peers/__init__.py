"""What a user would pick in Sideband's place, on the same task: one peer, one file.

A peer file holds

- `TITLE`, `PACKAGE` and `SETTINGS`: its name in the table, the package, and where its settings come from;
- `build(features)`: a `Peer`, untrained.

The packages are those of the extra `peers`; nothing outside this room imports them.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sideband.infer.called import called
from sideband.infer.errors import BadInput


@dataclass(frozen=True)
class Peer:
    """A generator of features given the mass, both standardised.

    Args:
        model: what is trained.
        loss: features `[N, d]` and masses `[N, 1]` → the loss to step on.
        sample: masses `[N, 1]` → features `[N, d]`.
    """

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    sample: Callable[[Tensor], Tensor]


def load(name: str) -> Any:
    """The file of a peer, as a module; raises `BadInput` where there is none, or where its package is missing."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        known = f"`{called('benchmarks', 'peers')} --help` lists them"
        if error.name == f"{__name__}.{name}":
            raise BadInput(f"'{name}': no such peer and no method; {known}") from error
        raise BadInput(f"peer '{name}': no package {error.name}; {known} and says how to install it") from error

"""The same EDM diffusion with its network compiled by torch.compile."""

import shutil

import torch

from sideband.infer.errors import BadInput
from sideband.train.peers import Peer, edm

TITLE = "EDM, torch.compile"
PACKAGE = "torch"
SETTINGS = "the same; torch.compile's defaults"


def build(features: int) -> Peer:
    """The denoiser, compiled; raises `BadInput` where there is no compiler."""
    if shutil.which("g++") is None:
        raise BadInput("torch.compile needs a C++ compiler (g++) on the CPU, and there is none")
    return edm.wrapped(features, torch.compile)

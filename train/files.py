"""Files of tensors and arrays, read as plain data: none of their code runs, and damage is reported."""

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sideband.infer.errors import in_one_line


class Damaged(Exception):
    """A file is torn, altered, or of another kind; the message says how."""


def read_tensors(path: Path, device: torch.device | str = "cpu") -> Any:
    """What `torch.save` wrote; raises `Damaged`."""
    _check_sums(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # the unpickler does what the bytes say, and raises whatever comes of it
        raise Damaged(in_one_line(error)) from error


def write_tensors(content: Any, path: Path) -> None:
    """Write what `read_tensors` reads; raises OSError."""
    try:
        torch.save(content, path)
    except RuntimeError:  # of torch's own writer, which does not tell why; Python's does
        whole = io.BytesIO()
        torch.save(content, whole)
        path.write_bytes(whole.getbuffer())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What `np.savez` wrote; raises `Damaged`."""
    _check_sums(path)
    try:
        with np.load(path) as archive:
            arrays = dict(archive)
    except Exception as error:  # headers and shapes are whatever the bytes say
        raise Damaged(in_one_line(error)) from error
    if not all(isinstance(each, np.ndarray) for each in arrays.values()):
        raise Damaged("it holds something else than arrays")
    return arrays


def _check_sums(path: Path) -> None:
    """Both kinds are zip archives, and torch looks at no checksum of theirs."""
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()
    except Exception as error:  # of the operating system, or of any field of a damaged archive
        raise Damaged(in_one_line(error)) from error
    if torn is not None:
        raise Damaged(f"the checksum of {torn} is wrong")

"""Files of tensors and arrays, read as plain data: no code in them runs, and damage is reported."""

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
    """A file is torn, altered or of another kind; the message says what is wrong."""


def read_tensors(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read what `write_tensors` wrote, onto a device; raises `Damaged`."""
    _check_sums(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler raise anything
        raise Damaged(in_one_line(error)) from error


def write_tensors(content: Any, path: Path) -> None:
    """Write tensors in nested mappings and lists; raises OSError, for instance when the disk is full."""
    try:
        torch.save(content, path)
    except RuntimeError:  # torch's writer hides the reason; Python's states it
        whole = io.BytesIO()
        torch.save(content, whole)
        path.write_bytes(whole.getbuffer())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays that `np.savez` wrote, by name; raises `Damaged`."""
    _check_sums(path)
    try:
        with np.load(path) as archive:
            arrays = dict(archive)
    except Exception as error:  # damaged headers make numpy raise anything
        raise Damaged(in_one_line(error)) from error
    if not all(isinstance(each, np.ndarray) for each in arrays.values()):
        raise Damaged("it holds more than arrays")
    return arrays


def _check_sums(path: Path) -> None:
    """Verify the checksums of a zip archive, as both kinds are; torch itself ignores them."""
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()
    except Exception as error:  # from the operating system, or from any field of a damaged archive
        raise Damaged(in_one_line(error)) from error
    if torn is not None:
        raise Damaged(f"the checksum of {torn} is wrong")

"""Changes to files of tasks, each to be made on an open file."""

from collections.abc import Callable
from typing import Any

import h5py


def said(**attributes: Any) -> Callable[[h5py.File], None]:
    """Gives a task other attributes, or takes them away."""

    def change(file: h5py.File) -> None:
        for name, value in attributes.items():
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = value

    return change


def replaced(name: str, values: Any) -> Callable[[h5py.File], None]:
    """Puts something else in the place of a group or a dataset, or takes it away."""

    def change(file: h5py.File) -> None:
        del file[name]
        if values is not None:
            file[name] = values

    return change


def doubled(name: str) -> Callable[[h5py.File], None]:
    return lambda file: replaced(name, 2 * file[name][:])(file)


def widened(name: str) -> Callable[[h5py.File], None]:
    return lambda file: replaced(name, file[name][:].reshape(-1, 1))(file)

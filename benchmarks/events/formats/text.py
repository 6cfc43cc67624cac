"""CSV: a first line of names, then a line of numbers for each event; comma, semicolon, tab or blanks between them."""

import csv
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from sideband.benchmarks.events.formats import ROWS, Chunk, Place, check_names, numbers
from sideband.infer.errors import BadInput, in_one_line

BETWEEN = (",", ";", "\t")


class _Lines:
    def __init__(self, path: Path, between: str, names: list[str]) -> None:
        self.path, self.between, self.names = path, between, names
        self.units = dict.fromkeys(filter(None, names), "")

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        check_names(self.path, names, list(self.units))
        try:
            with (
                warnings.catch_warnings(category=pd.errors.ParserWarning, action="error"),  # of lines that are too long
                # All columns, because lines of too many numbers pass unseen where some columns alone are asked for.
                pd.read_csv(
                    self.path,
                    sep=self.between,
                    header=0,
                    names=self.names,
                    index_col=False,
                    skipinitialspace=True,
                    chunksize=ROWS,
                ) as file,
            ):
                for frame in file:
                    if len(frame):
                        yield {name: numbers(self.path, name, frame[name].to_numpy()) for name in names}
        except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError, ValueError, OverflowError) as error:
            raise BadInput(f"{self.path}: not a table of numbers ({in_one_line(error)}); correct that line") from error


@contextmanager
def opened(path: Path, place: Place) -> Iterator[_Lines]:
    """The file's table; raises `BadInput`."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline(2**20).strip(" \r\n").removeprefix("#").strip(" ")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: a text file that is not UTF-8; write it as UTF-8") from error
    between = next((each for each in BETWEEN if each in first), r"\s+")
    parts = (
        next(csv.reader([first], delimiter=between, skipinitialspace=True))
        if between in BETWEEN
        else re.split(between, first)
    )
    names = [name.strip().strip("\"'") for name in parts]
    if any(map(_is_number, names)) or not all(names[1:]) or not any(names):  # pandas' rows have numbers without a name
        raise BadInput(f"{path}: its first line does not name all columns ({first[:60]!r}); put their names there")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BadInput(f"{path}: names column {sorted(twice)[0]!r} twice in its first line; rename one")
    yield _Lines(path, between, names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

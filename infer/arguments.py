"""Command-line arguments: a mistake is reported in one line, and every number has a range."""

import argparse
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from .errors import BadInput

LARGEST_SEED = 2**63 - 1

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `BadInput` instead of printing its usage, and accepts negative values.

    argparse takes "-1-2" and "-1e3" for options. Here anything that starts like a negative number is a value: a
    number, the name of a window of negative masses, or a path with such a name. Options are never abbreviated.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **options})
        self._negative_number_matcher = re.compile(r"^-\.?\d")

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise BadInput(f"{message}; `{self.prog} --help` lists what there is")


def execute(parser: Parser) -> int:
    """Parse the command line and run its command; returns the exit status."""
    arguments = parser.parse_args()
    return int(arguments.call(arguments))


def calling(commands: Commands, functions: Mapping[str, Callable[[argparse.Namespace], int]]) -> Commands:
    """The commands, each with the function that runs it, and with its line of help above its options."""
    told = {each.dest: each.help for each in commands._choices_actions}
    for name, function in functions.items():
        commands.choices[name].set_defaults(call=function)
        commands.choices[name].description = told[name]
    return commands


def whole(least: int = 1, most: int = 10**9) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        if re.fullmatch(r"-?[0-9]{1,20}", text) and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number from {least} to {most}")

    return parse


def number(above: float = 0.0, most: float = math.inf) -> Callable[[str], float]:
    """The type of an argument that is a finite number above `above` and up to `most`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value) and above < value <= most:
            return value
        limit = f" and up to {most:g}" if math.isfinite(most) else ""
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a number above {above:g}{limit}")

    return parse


def folder(text: str) -> Path:
    """The type of an argument that is a folder; an empty text would mean the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("'' is not the name of a folder")
    return Path(text)

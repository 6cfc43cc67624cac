"""What a report is made of: tables, figures, and numbers as text."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from sideband.benchmarks.metrics import sic

SIGNIFICANT = 3  # digits in tables


@dataclass(frozen=True)
class Table:
    """A table of the report: a caption, a head and rows of text, which the page's reader may sort."""

    caption: str
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its file's stem, its caption and the drawing."""

    name: str
    caption: str
    figure: Figure


Section = tuple[str, str, list[Table | Picture]]  # heading, text, content


def number(value: float, digits: int = SIGNIFICANT) -> str:
    """A number for a table, "n/a" if it is not one."""
    if not np.isfinite(value):
        return "n/a"
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    text = f"{value:#.{digits}g}"
    return text.rstrip(".")


def banded(values: list[float], digits: int = SIGNIFICANT) -> str:
    """Median and band of several runs."""
    median, low, high, _ = sic.median_and_band(values)
    if not np.isfinite(median) or len(values) == 1:
        return number(median, digits)
    return f"{number(median, digits)} ({number(low, digits)}–{number(high, digits)})"

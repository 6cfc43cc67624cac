"""How figures look, and how they are written."""

import functools
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sideband.benchmarks import catalogue
from sideband.infer import events

Panels = NDArray[Any]  # of axes

mpl.use("Agg")
sns.set_theme(context="notebook", style="ticks", font_scale=0.9)
mpl.rcParams.update({"svg.hashsalt": "sideband", "figure.constrained_layout.use": True, "axes.grid": True})
mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})

# Of samples and features; methods have their colours in the catalogue. Without the yellow, which hardly shows on white.
_COLOURBLIND = sns.color_palette("colorblind", 10)
_DARK = sns.color_palette("dark", 8)  # in an order that keeps alike ones apart
PALETTE = [*_COLOURBLIND[:7], _COLOURBLIND[9], *(_DARK[place] for place in (0, 4, 5, 3, 2, 1, 6, 7))]

KINDS: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}}}


def save(figure: Figure, stem: str | Path) -> None:
    """Write a figure as PNG and SVG, without dates, so that equal figures are equal files.

    Raises:
        BadInput: the place cannot be written.
    """
    save_all({Path(stem): figure})


def save_all(figures: Mapping[Path, Figure]) -> None:
    """Write figures as `save` does, each by its path without suffix: all of them or none."""
    with ExitStack() as opened:
        for stem, figure in figures.items():
            for path, (kind, options) in zip(files(stem), KINDS.items(), strict=True):
                figure.savefig(opened.enter_context(events.atomic(path)), format=kind, **options)


def files(stem: Path) -> list[Path]:
    """The files of a figure."""
    return [stem.with_name(f"{stem.name}.{kind}") for kind in KINDS]


def title(method: str) -> str:
    """The name of a method in figures and tables."""
    return catalogue.get(method).title


def colour(method: str) -> str:
    """The colour of a method in every figure."""
    return catalogue.get(method).colour


def line(method: str) -> dict[str, Any]:
    """The colour and the style of a method's line."""
    entry = catalogue.get(method)
    return {"color": entry.colour, "ls": entry.line}


def from_zero(axes: Axes) -> None:
    """Let y begin at 0, with room above the highest point."""
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


def with_pulls(number: int, most: int, size: tuple[float, float]) -> tuple[Figure, Panels, Panels]:
    """A figure of so many panels, at most so many in a line, each with one for pulls below.

    Args:
        number: panels.
        most: columns.
        size: width and height of a panel with its pulls, in inches.

    Returns:
        The figure, and its upper and its lower panels `[lines, columns]`; those beyond `number` are hidden.
    """
    columns = min(most, number)
    lines = -(-number // columns)
    figure = Figure(figsize=(0.8 + size[0] * columns, 0.6 + size[1] * lines))
    panels = figure.subplots(
        2 * lines, columns, squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1.2) * lines
    )
    tops, bottoms = panels[0::2], panels[1::2]
    for axes in (*tops.flat[number:], *bottoms.flat[number:]):
        axes.set_visible(False)
    for axes in bottoms[:, 0]:
        axes.set_ylabel("pull", fontsize=9)
    for axes in bottoms.flat[number - columns : number]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    return figure, tops, bottoms


def with_unit(name: str, unit: str) -> str:
    """An axis label."""
    return plain(f"{name} [{unit}]" if unit else name)


def plain(text: str) -> str:
    """Somebody's text for a figure: no dollar begins a formula, and what the font cannot draw is escaped."""
    known = _characters()
    drawn = (one if ord(one) in known else one.encode("unicode_escape").decode() for one in text)
    return "".join(drawn).replace("$", r"\$")


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(font_manager.FontProperties())).get_charmap())

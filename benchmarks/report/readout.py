"""What can be read off a figure: the values of its curves, points, bars and steps, and where on it each of them is."""

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, StepPatch
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from sideband.benchmarks.report import drawn
from sideband.benchmarks.report.content import SIGNIFICANT, number
from sideband.benchmarks.report.drawn import Array, Drawn

MOST = 150  # points, or bars, or steps of one artist
ALTOGETHER = 2500  # points of all curves of a figure, about
FINE = 10_000  # parts of a figure's width and height in which places are given

_SIGNS = {r"\epsilon": "ε", r"\chi": "χ", r"\sqrt": "√", "{": "", "}": ""}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Places = NDArray[np.int_]


def of(figure: Figure) -> dict[str, Any]:
    """Everything that can be read off a figure.

    Args:
        figure: it must have been saved already, so that everything lies where it does in the file.

    Returns:
        `axes`: the names of `x` and `y` of each, with their units, and that of `z`, the colours of an image.
        `series`: of each artist, which axes it is `on`, its `label`, the values `x` and `y` of its points as texts, `z`
        of the cells of an image, and where they are `at`: left and top, followed by right and bottom unless all are
        points, in parts of the figure from its upper left corner. Texts and places are numbers of `columns`, for
        artists share many.
    """
    found = [(axes, each) for axes in figure.axes if axes.get_visible() for each in drawn.of(axes)]
    most = max(min(MOST, ALTOGETHER // max(len(found), 1)), 2)
    legend, shown = _legend(figure), dict.fromkeys(axes for axes, _ in found)
    series = []
    columns: dict[tuple[Any, ...], int] = {}

    def number_of(column: Iterable[Any]) -> int:
        return columns.setdefault(tuple(column), len(columns))

    for axes, each in found:
        places, kept = _placed(figure, axes, each)
        image = isinstance(each.artist, AxesImage)
        limit = len(kept) if image else most if isinstance(each.artist, Line2D) else MOST
        kept = kept[chosen := _thinned(each.y[kept], limit)]
        if len(kept):
            at = [number_of(side) for side in places[chosen].T.tolist()]
            series.append(
                {
                    "on": list(shown).index(axes),
                    "label": _label(each.artist, axes, legend),
                    "x": number_of(map(_texts(axes.xaxis), each.x[kept])),
                    "y": number_of(map(_texts(axes.yaxis), each.y[kept])),
                    **({"z": number_of(map(_numbers, each.z[kept]))} if image else {}),
                    "at": at[:2] if at[:2] == at[2:] else at,
                }
            )
    names = [
        {which: _name(figure, axes, which) for which in ("x", "y")}
        | ({"z": _of_colours(figure, axes)} if axes.images else {})
        for axes in shown
    ]
    return {"axes": names, "columns": [*columns], "series": series}


def _placed(figure: Figure, axes: Axes, each: Drawn) -> tuple[Places, Places]:
    """Left, top, right and bottom `[m, 4]` of what lies inside the axes, and its rows `[m]` among the boxes."""
    corners = each.transform.transform(each.boxes.reshape(-1, 2)).reshape(-1, 2, 2)
    low, high, (first, last) = corners.min(axis=1), corners.max(axis=1), axes.bbox.get_points()
    inside = (low <= last + 1) & (high >= first - 1)  # a pixel beyond the edge is still seen; NaN is not
    if isinstance(each.artist, StepPatch):  # of a step beyond the edge, the sides are seen
        inside[:, 1] = np.isfinite(high[:, 1])
    kept = np.flatnonzero(inside.all(axis=1))
    low, high = (np.clip(ends[kept], first, last) / figure.bbox.size for ends in (low, high))
    places = np.stack([low[:, 0], 1 - high[:, 1], high[:, 0], 1 - low[:, 1]], axis=1)
    return (FINE * places).round().astype(int), kept


def _thinned(values: Array, most: int) -> Places:
    """Rows of `values` `[n, k]`, evenly, about `most` of them, with the first, the last, the lowest and the highest."""
    if len(values) <= most:
        return np.arange(len(values))
    rows = np.linspace(0, len(values) - 1, most).round().astype(int)
    extremes = [values[:, 0].argmin(), values[:, 0].argmax()] if values.shape[1] else []
    return np.unique([*rows, *extremes])


def _texts(axis: Axis) -> Callable[[Array], str]:
    """How values along an axis are told: by the name of the nearest tick if ticks are names, else as numbers."""
    ticks = list(axis.get_majorticklocs()) if isinstance(axis.get_major_locator(), FixedLocator) else []
    texts = axis.get_major_formatter().format_ticks(ticks) if ticks else []
    names = [_plain(text.replace("\n", " ")) for text in texts]
    if ticks == [*range(len(ticks))] and not all(
        name in ("", f"{tick:g}") for tick, name in zip(ticks, names, strict=True)
    ):
        return lambda values: names[int(np.clip(np.rint(values.mean()), 0, len(names) - 1))] if len(values) else ""
    return _numbers


def _numbers(values: Array) -> str:
    """A value, a range, or a value with the ends of its error, if it has one."""
    if len(values) == 2:
        return _between(*values)
    if len(values) == 3 and np.isfinite(values).all() and (values != values[0]).any():
        return f"{_rounded(values[0])} ({_between(*values[1:])})"
    return "".join(map(_rounded, values[:1]))


def _between(low: float, high: float) -> str:
    """A range in as many digits as tell its ends apart."""
    digits = next((some for some in range(SIGNIFICANT, 8) if _rounded(low, some) != _rounded(high, some)), SIGNIFICANT)
    return (" to " if low < 0 else "–").join(_rounded(end, digits) for end in (low, high))


def _rounded(value: float, digits: int = SIGNIFICANT) -> str:
    return number(float(f"{value:.{digits}g}"), digits)


def _name(figure: Figure, axes: Axes, which: str) -> list[str]:
    """What stands at an axis, without its unit, and the unit: its own, or that of a panel that it is aligned with."""
    shared, span = getattr(axes, f"get_shared_{which}_axes")(), "colspan" if which == "x" else "rowspan"

    def line(of: Axes) -> Any:
        return getattr(of.get_subplotspec(), span, of)

    others = [axes, *shared.get_siblings(axes), *(other for other in figure.axes if line(other) == line(axes))]
    texts = [getattr(other, f"get_{which}label")() for other in others]
    return _with_unit(next(filter(None, texts), getattr(figure, f"get_sup{which}label")()))


def _of_colours(figure: Figure, axes: Axes) -> list[str]:
    """What the colours of the image on some axes mean, and the unit: as its colour bar says, or one that it shares."""
    (image, *_), every = axes.images, [each for other in figure.axes for each in other.images]
    bars = [each.colorbar for each in (image, *(each for each in every if each.norm is image.norm), *every)]
    return _with_unit(next((bar.ax.get_ylabel() for bar in bars if bar is not None), ""))


def _with_unit(text: str) -> list[str]:
    """A label without matplotlib's formulas, and the unit at its end apart."""
    name, bracket, unit = (plain := _plain(text)).removesuffix("]").rpartition(" [")
    return [name, unit] if bracket and plain.endswith("]") else [plain, ""]


def _legend(figure: Figure) -> dict[str, set[str]]:
    """The labels of the legend by their colour."""
    found = defaultdict(set)
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    entries = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    for handle, text in itertools.chain(*entries):
        found[_colour(handle)].add(text)
    for legend in legends:
        for entry, shown in zip(legend.legend_handles, legend.get_texts(), strict=True):
            found[_colour(entry)].add(shown.get_text())
    return found


def _label(artist: Artist | Container, axes: Axes, legend: Mapping[str, set[str]]) -> str:
    """An artist's own label, that of its colour if there is just one, or the title of its axes or of those above it."""
    alike = legend.get(_colour(artist), set())
    return _plain(drawn.label(artist) or (min(alike) if len(alike) == 1 else _title(axes)))


def _title(axes: Axes) -> str:
    """The title of some axes, or else of the first in their column."""
    place = axes.get_subplotspec()
    figure = axes.get_figure()
    if axes.get_title() or place is None or figure is None:
        return axes.get_title()
    specs = [(other, other.get_subplotspec()) for other in figure.axes]
    return next((other.get_title() for other, spec in specs if spec is not None and spec.colspan == place.colspan), "")


def _colour(artist: Any) -> str:
    """The colour of an artist, or of the first of a container; "" if it has none."""
    while isinstance(artist, tuple):
        artist = artist[0] if artist else None
    if isinstance(artist, Line2D):
        return to_hex(artist.get_color())
    if isinstance(artist, Patch):
        return to_hex(artist.get_facecolor() if artist.get_fill() else artist.get_edgecolor())
    colours = [*artist.get_edgecolor(), *artist.get_facecolor()] if isinstance(artist, Collection) else []
    return to_hex(colours[0]) if colours else ""


def _plain(text: str) -> str:
    """A label without matplotlib's formulas, in one line."""
    parts = re.split(r"(?<!\\)\$", text.replace("\n", ", "))
    for place in range(1, len(parts), 2):
        for sign, plain in _SIGNS.items():
            parts[place] = parts[place].replace(sign, plain)
        parts[place] = re.sub(r"\^(-?\d+)", lambda power: power[1].translate(_RAISED), parts[place])
    return "".join(parts).replace(r"\$", "$")

"""The data that a figure draws, by artist: bars, points, errors, steps, levels, curves, and cells of images."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.container import BarContainer, Container, ErrorbarContainer
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.transforms import Transform
from numpy.typing import NDArray

_AUTOMATIC = re.compile(r"_(child|container)\d+|_nolegend_|None")  # labels of matplotlib's own

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """What one artist draws of the data.

    Args:
        artist: its label and colour say what it is.
        transform: from the boxes' coordinates to pixels.
        boxes: `[n, 4]`, two opposite corners of each; one place twice for a point.
        x, y: values `[n, k]` along each axis. k = 1 for a value, 2 for the ends of a range, 3 for a value and the ends
            of its error, and 0 where the artist has no value along that axis.
        z: values `[n, 1]` of an image's cells, which colours show; `[n, 0]` where there are none.
    """

    artist: Artist | Container
    transform: Transform
    boxes: Array
    x: Array
    y: Array
    z: Array = field(default_factory=lambda: np.empty((0, 0)))


def label(artist: Artist | Container) -> str:
    """What an artist is labelled, in the legend or, beginning with "_", beside it; "" if nobody labelled it."""
    text = str(artist.get_label())
    return "" if _AUTOMATIC.fullmatch(text) else text.removeprefix("_")


def of(axes: Axes) -> Iterator[Drawn]:
    """What the artists of some axes draw, except filled areas and lines that say nothing of the data."""
    parts: set[Artist] = set()
    for container in axes.containers:
        parts.update(container.get_children())
        if isinstance(container, BarContainer):
            yield _bars(axes, container)
        elif isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            yield _with_errors(container)
    for patch in axes.patches:
        if isinstance(patch, StepPatch) and patch.orientation == "vertical" and patch.get_visible():
            values, edges, _ = patch.get_data()
            boxes = np.stack([edges[:-1], values, edges[1:], values], axis=1)
            yield Drawn(patch, patch.get_transform(), boxes, boxes[:, 0::2], values[:, None])
    for collection in (each for each in axes.collections if each not in parts and each.get_visible()):
        if isinstance(collection, PathCollection):
            points = _filled(collection.get_offsets())
            yield _points(collection, collection.get_offset_transform(), points[:, :1], points[:, 1:])
        elif isinstance(collection, LineCollection):
            yield from _segments(collection)
    for line in (each for each in axes.lines if each not in parts and each.get_visible()):
        yield from _line(axes, line)
    for image in (each for each in axes.images if each.get_visible()):
        yield _cells(image)


def _points(artist: Artist | Container, transform: Transform, x: Array, y: Array) -> Drawn:
    return Drawn(artist, transform, np.hstack([x[:, :1], y[:, :1]] * 2), x, y)


def _bars(axes: Axes, container: BarContainer) -> Drawn:
    corners = np.array([[*bar.get_xy(), bar.get_width(), bar.get_height()] for bar in container.patches], float)
    corners = corners.reshape(-1, 4)
    corners = corners[(corners[:, 2:] != 0).all(axis=1)]  # of others there is nothing to see
    boxes = np.hstack([corners[:, :2], corners[:, :2] + corners[:, 2:]])
    if container.orientation == "horizontal":  # a bar in a stack has its own length
        return Drawn(container, axes.transData, boxes, corners[:, 2:3], boxes[:, 1::2])
    return Drawn(container, axes.transData, boxes, boxes[:, 0::2], corners[:, 3:4])


def _with_errors(container: ErrorbarContainer) -> Drawn:
    line, _, bars = container.lines
    values = [column[:, None] for column in _data(line)]
    along = [axis for axis, there in enumerate((container.has_xerr, container.has_yerr)) if there]
    for axis, collection in zip(along, bars, strict=True):
        ends = [np.array(path.vertices, float)[:, axis] for path in collection.get_paths()]
        if len(ends) == len(values[axis]):
            values[axis] = np.hstack([values[axis], np.sort(np.reshape(ends, (-1, 2)), axis=1)])
    return _points(container, line.get_transform(), *values)


def _segments(collection: LineCollection) -> Iterator[Drawn]:
    """Levels: segments along one of the axes, which have a value along the other."""
    for path in collection.get_paths():
        ends = np.array(path.vertices, float)
        if ends.shape == (2, 2) and (ends[0] == ends[1]).any():
            values = [ends[:1, [axis]] if ends[0, axis] == ends[1, axis] else np.empty((1, 0)) for axis in (0, 1)]
            yield Drawn(collection, collection.get_transform(), ends.reshape(1, 4), *values)


def _line(axes: Axes, line: Line2D) -> Iterator[Drawn]:
    """The points of a line; a line across the axes is one level, which is of no interest without a label."""
    (x, y), transform = _data(line), line.get_transform()
    of_x, of_y = transform.contains_branch_seperately(axes.transData)
    if of_x and of_y:
        yield _points(line, transform, x[:, None], y[:, None])
    elif (of_x or of_y) and label(line):
        boxes = np.array([[x[0], y[0], x[-1], y[-1]]])
        yield Drawn(line, transform, boxes, *(each[:1, None][:, : int(own)] for each, own in ((x, of_x), (y, of_y))))


def _cells(image: AxesImage) -> Drawn:
    """The cells of an image, a box each, without those that have no value."""
    values, (left, right, bottom, top) = _filled(image.get_array()), image.get_extent()
    first, last = (top, bottom) if image.origin == "upper" else (bottom, top)
    rows = np.linspace(first, last, values.shape[0] + 1)
    columns = np.linspace(left, right, values.shape[1] + 1)
    down, across = (places.ravel() for places in np.indices(values.shape))
    boxes = np.stack([columns[across], rows[down], columns[across + 1], rows[down + 1]], axis=1)
    kept = np.isfinite(values.ravel())
    boxes = boxes[kept]
    return Drawn(
        image,
        image.get_transform(),
        boxes,
        np.sort(boxes[:, 0::2]),
        np.sort(boxes[:, 1::2]),
        values.ravel()[kept, None],
    )


def _data(line: Line2D) -> tuple[Array, Array]:
    x, y = map(_filled, line.get_data(orig=False))
    return x, y


def _filled(values: Any) -> Array:
    """Values with NaN where they are masked."""
    return np.ma.asarray(values, float).filled(np.nan)

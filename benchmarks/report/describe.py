"""What files of events hold: a table each, and figures of the spectrum, the features, and their way with the mass."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from sideband.benchmarks.events import layout
from sideband.benchmarks.events.asked import Asked
from sideband.benchmarks.events.formats.expressions import Column
from sideband.benchmarks.report import style
from sideband.infer import events
from sideband.infer.errors import BadInput

FIGURES = ("spectrum", "features", "correlation")
LAYOUT = Asked()  # nothing of one's own
DRAWN = 24  # features at most; each takes a fifth of a second
BINS = 50
PER_POINT = 100  # events at least, where a median is drawn

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One class of events of a file: `mass [N]`, each feature `[N]`, units, and rank correlations with the mass."""

    name: str
    mass: Array
    features: dict[str, Array]
    units: dict[str, str]
    ranks: dict[str, float]


def describe(paths: Sequence[Path], out: Path, asked: Asked = LAYOUT) -> list[Path]:
    """Print what files hold and which rules of the layout they break; draw figures of all of them together.

    Args:
        paths: events files, or folders of them.
        out: folder for the figures.
        asked: which columns they have; by default those of our own layout, whose broken rules are printed too.

    Returns:
        The figures.

    Raises:
        BadInput: a file cannot be read, or has no such mass column.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.h5")) if os.path.isdir(path) else [path])]
    if not files:
        raise BadInput(f"{', '.join(map(str, paths))}: no events file (*.h5) there")
    for name in FIGURES:
        for figure in style.files(out / name):
            events.check_output(figure, files)
    console = Console(markup=False, emoji=False, highlight=False)
    own = asked.of_own(files)
    mass = Column.told(asked.mass).name if own else _mass(files)
    samples: list[Sample] = []
    for path in files:
        for broken in () if own else layout.violations(path, mass):
            console.print(f"{path}: breaks a rule of the layout: {broken}", style="yellow", soft_wrap=True)
        found = of_own(path, asked) if own else read(path, mass)
        samples += found
        for sample in found:
            console.print(table(sample, mass))
        if not own:
            _print_origin(console, path)
    chosen = _chosen(samples)
    if len(chosen) < len(_features(samples)):
        which = (
            f"the {len(chosen)} of {len(_features(samples))} features whose rank correlation with {mass} is strongest"
        )
        console.print(f"figures: {which}; the tables have all", soft_wrap=True)
    drawn = (spectrum(samples, mass), features(samples, chosen), correlation(samples, mass, chosen))
    figures = {out / name: figure for name, figure in zip(FIGURES, drawn, strict=True) if figure is not None}
    style.save_all(figures)
    for stem in figures:
        console.print(f"figure: {stem}.png", soft_wrap=True)
    return [Path(f"{stem}.png") for stem in figures]


def _mass(files: Sequence[Path], mass: str = "m_jj") -> str:
    """The mass column of our layout, or the column that all files have in its place."""
    names = set()
    for path in files:
        with events.opened(path) as file:
            names.add(layout.condition(file, mass))
    return names.pop() if len(names) == 1 else mass


def of_own(path: Path, asked: Asked) -> list[Sample]:
    """The classes of a file of somebody's own events; raises `BadInput` as `Asked.read` does."""
    found = asked.read(path)
    features = {name: found.data.features[:, index] for index, name in enumerate(found.features)}
    return _samples(path, {found.mass: found.data.mass, **features}, found.mass, found.data.label, found.units)


def read(path: Path, mass: str) -> list[Sample]:
    """The classes of a file: by its label where it has both, else the file as it is. Wide columns are left aside.

    Raises:
        BadInput: a column cannot be read, or labels are other than 0 and 1.
    """
    with events.opened(path) as file:
        found = {name: item for name, item in events.items(file).items() if isinstance(item, h5py.Dataset)}
        names = [name for name, data in found.items() if data.ndim == 1 and name not in (*layout.APART, mass)]
        label = ["label"] if "label" in found else []
        units = {name: events.unit(found[name], name, path) for name in (mass, *names) if name in found}
    columns = events.read(path, [mass, *names, *label])
    if any(columns[name].ndim > 1 for name in (mass, *label)):
        raise BadInput(f"{path}: '{mass}' and 'label' must be one number an event")
    if not len(columns[mass]):
        raise BadInput(f"{path}: holds no events")
    kind = columns.pop("label", None)
    if kind is not None and not np.isin(kind, (0, 1)).all():
        raise BadInput(f"{path}: column 'label' holds values other than 0 (background) and 1 (signal)")
    return _samples(path, columns, mass, kind, units)


def _samples(
    path: Path, columns: Mapping[str, Array], mass: str, label: NDArray[Any] | None, units: Mapping[str, str]
) -> list[Sample]:
    """A sample for each class of events."""
    kind = np.zeros(len(columns[mass])) if label is None else label
    kinds = np.unique(kind)
    samples = []
    for one in kinds:
        chosen = {name: values[kind == one] for name, values in columns.items()}
        name = path.stem if len(kinds) == 1 else f"{path.stem}: {'signal' if one else 'background'}"
        mass_column = chosen.pop(mass)
        ranks = _ranks(mass_column, chosen)
        samples.append(Sample(name, mass_column, chosen, dict(units), ranks))
    return samples


def _ranks(mass: Array, features: Mapping[str, Array]) -> dict[str, float]:
    """Spearman's correlation of each feature with the mass; those that have none are left out."""
    varying = {name: values for name, values in features.items() if values.min() < values.max()}
    if len(mass) < 3 or mass.min() == mass.max():
        return {}
    order = rankdata(mass)
    return {name: float(np.corrcoef(rankdata(values), order)[0, 1]) for name, values in varying.items()}


def table(sample: Sample, mass: str) -> Table:
    """Each column's unit, range, percentiles, and rank correlation with the mass."""
    shown = Table(title=f"{sample.name}: {len(sample.mass):,} events", title_justify="left")
    for head in ("column", "unit", "least", "5 %", "median", "95 %", "most", f"Spearman with {mass}"):
        shown.add_column(head, justify="left" if head in ("column", "unit") else "right")
    for name, values in {mass: sample.mass, **sample.features}.items():
        numbers = [f"{value:.4g}" for value in np.quantile(values.astype(float), [0, 0.05, 0.5, 0.95, 1])]
        rank = f"{sample.ranks[name]:+.3f}" if name in sample.ranks else ""
        shown.add_row(_shown(name), sample.units[name], *numbers, rank)
    return shown


def _shown(text: str) -> str:
    """Somebody's text for the terminal, with what cannot be encoded escaped."""
    return text.encode(errors="backslashreplace").decode()


def _print_origin(console: Console, path: Path) -> None:
    with events.opened(path) as file:
        attributes = events.attributes(file)
    lines: list[tuple[str, Any]] = [
        (name, attributes[name]) for name in ("what", "made_with", "selection") if name in attributes
    ]
    value, error = (attributes.get(f"cross_section_{name}") for name in ("pb", "error_pb"))
    if isinstance(value, float) and isinstance(error, float):
        lines.append(("cross section", f"{value:.4g} ± {error:.2g} pb ({attributes.get('cross_section_of', '')})"))
    for name, value in lines:
        console.print(_shown(f"  {name}: {value}"), soft_wrap=True)


def spectrum(samples: Sequence[Sample], mass: str) -> Figure:
    """Events against mass, one colour a class."""
    figure = Figure(figsize=(7, 4.4))
    axes = figure.subplots()
    edges = _edges([sample.mass for sample in samples], (0.0, 1.0))
    for index, sample in enumerate(samples):
        counts, _ = np.histogram(sample.mass, edges)
        colour = style.PALETTE[index % len(style.PALETTE)]
        axes.stairs(counts, edges, color=colour, lw=1.5, label=f"{style.plain(sample.name)} ({len(sample.mass):,})")
        middle = (edges[1:] + edges[:-1]) / 2
        axes.errorbar(middle[counts > 0], counts[counts > 0], np.sqrt(counts[counts > 0]), fmt="none", ecolor=colour)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5)
    axes.set_xlabel(style.with_unit(mass, samples[0].units[mass]))
    axes.set_ylabel("events per bin")
    axes.legend(fontsize=8, frameon=False)
    return figure


def features(samples: Sequence[Sample], names: Sequence[str]) -> Figure | None:
    """The density of each of some features, one colour a class."""
    if not names:
        return None
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        found = {index: sample for index, sample in enumerate(samples) if name in sample.features}
        edges = _edges([sample.features[name] for sample in found.values()])
        for index, sample in found.items():
            colour = style.PALETTE[index % len(style.PALETTE)]
            density, _ = np.histogram(sample.features[name], edges, density=True)
            axes.stairs(density, edges, color=colour, lw=1.5)
        axes.set_xlabel(style.with_unit(name, next(iter(found.values())).units[name]))
        axes.set_yticks([])
    _legend(figure, samples)
    figure.supylabel("density", fontsize=10)
    return figure


def correlation(samples: Sequence[Sample], mass: str, names: Sequence[str]) -> Figure | None:
    """Median and central 68 % of each of some features against the mass, one colour a class."""
    if not names:
        return None
    figure, panels = _panels(len(names))
    edges = _edges([sample.mass for sample in samples], (0.005, 0.995), 21)
    for axes, name in zip(panels, names, strict=True):
        for index, sample in enumerate(samples):
            if name not in sample.features:
                continue
            place = np.digitize(sample.mass, edges)
            groups = {i: sample.features[name][place == i] for i in range(1, len(edges))}
            kept = {i: values for i, values in groups.items() if len(values) >= PER_POINT}
            if not kept:
                continue
            low, middle, high = np.array(
                [np.quantile(values.astype(float), [0.16, 0.5, 0.84]) for values in kept.values()]
            ).T
            x = [(edges[i - 1] + edges[i]) / 2 for i in kept]
            colour = style.PALETTE[index % len(style.PALETTE)]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(x, middle, color=colour, marker=".")
        axes.set_ylabel(style.with_unit(name, next(s.units[name] for s in samples if name in s.features)))
        axes.set_xlabel(style.with_unit(mass, samples[0].units[mass]))
    _legend(figure, samples)
    return figure


def _legend(figure: Figure, samples: Sequence[Sample]) -> None:
    lines = [Line2D([], [], color=style.PALETTE[index % len(style.PALETTE)]) for index in range(len(samples))]
    names = [style.plain(sample.name) for sample in samples]
    figure.legend(lines, names, loc="outside upper center", ncols=min(len(names), 4), fontsize=9, frameon=False)


def _features(samples: Sequence[Sample]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.features))


def _chosen(samples: Sequence[Sample]) -> list[str]:
    """The features to draw: all of them, or those whose rank correlation with the mass is strongest in some sample."""
    names = _features(samples)
    strength = {name: max(abs(sample.ranks.get(name, 0.0)) for sample in samples) for name in names}
    strongest = set(sorted(names, key=lambda name: -strength[name])[:DRAWN])
    return [name for name in names if name in strongest]


def _panels(number: int) -> tuple[Figure, list[Axes]]:
    columns = min(number, 4)
    rows = -(-number // columns)
    figure = Figure(figsize=(3.2 * columns, 2.7 * rows))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in panels[number:]:
        spare.remove()
    return figure, panels[:number]


def _edges(
    values: Sequence[Array], quantiles: tuple[float, float] = (0.001, 0.999), number: int = BINS + 1
) -> NDArray[np.float64]:
    """Bin edges that take in those quantiles of every sample."""
    ends = np.array([np.quantile(one.astype(float), quantiles) for one in values])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    return np.linspace(low, high if high > low else low + max(1.0, abs(low)), number)

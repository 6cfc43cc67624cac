"""What files of events hold: a table each, and figures of the spectrum, the features, and their way with the mass."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from benchmarks import layout, style
from infer import events
from infer.errors import BadInput

APART = ("label", "weight")  # columns that are no features
BINS = 50
PER_POINT = 100  # events at least, where a median is drawn

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One class of events of a file: `mass [N]`, each feature `[N]`, and units."""

    name: str
    mass: Array
    features: dict[str, Array]
    units: dict[str, str]


def describe(paths: Sequence[Path], out: Path, mass: str = "m_jj") -> list[Path]:
    """Print what files hold and which rules of the layout they break; draw figures of all of them together.

    Args:
        paths: events files, or folders of them.
        out: folder for the figures.
        mass: the mass column.

    Returns:
        The figures.

    Raises:
        BadInput: a file cannot be read, or has no such mass column.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.h5")) if path.is_dir() else [path])]
    if not files:
        raise BadInput(f"{', '.join(map(str, paths))}: no events file (*.h5) there")
    console = Console()
    samples: list[Sample] = []
    for path in files:
        for broken in layout.violations(path, mass):
            console.print(f"{path}: breaks a rule of the layout: {broken}", style="yellow", soft_wrap=True)
        found = read(path, mass)
        samples += found
        for sample in found:
            console.print(table(sample, mass))
        _print_origin(console, path)
    figures = {
        "spectrum": spectrum(samples, mass),
        "features": features(samples),
        "correlation": correlation(samples, mass),
    }
    for name, figure in figures.items():
        if figure is not None:
            style.save(figure, out / name)
            console.print(f"figure: {out / name}.png", soft_wrap=True)
    return [out / f"{name}.png" for name, figure in figures.items() if figure is not None]


def read(path: Path, mass: str) -> list[Sample]:
    """The classes of a file: by its label where it has both, else the file as it is. Wide columns are left aside."""
    with events.opened(path) as file:
        events.count(file, [mass], path)
        names = [
            name
            for name, data in file.items()
            if isinstance(data, h5py.Dataset) and data.ndim == 1 and name not in (*APART, mass)
        ]
        units = {name: str(file[name].attrs.get("unit", "")) for name in (mass, *names)}
        has_label = "label" in file
    columns = events.read(path, [mass, *names, *(["label"] if has_label else [])])
    if not len(columns[mass]):
        raise BadInput(f"{path}: holds no events")
    label = columns.pop("label", np.zeros(len(columns[mass]), np.float32))
    kinds = np.unique(label)
    samples = []
    for kind in kinds:
        chosen = {name: values[label == kind] for name, values in columns.items()}
        name = path.stem if len(kinds) == 1 else f"{path.stem}: {'signal' if kind else 'background'}"
        samples.append(Sample(name, chosen.pop(mass), chosen, units))
    return samples


def table(sample: Sample, mass: str) -> Table:
    """Each column's unit, range, percentiles, and rank correlation with the mass."""
    shown = Table(title=f"{sample.name}: {len(sample.mass):,} events", title_justify="left")
    for head in ("column", "unit", "least", "5 %", "median", "95 %", "most", f"Spearman with {mass}"):
        shown.add_column(head, justify="left" if head in ("column", "unit") else "right")
    for name, values in {mass: sample.mass, **sample.features}.items():
        numbers = [f"{value:.4g}" for value in np.quantile(values, [0, 0.05, 0.5, 0.95, 1])]
        rank = "" if name == mass else _rank(values, sample.mass)
        shown.add_row(name, sample.units[name], *numbers, rank)
    return shown


def _rank(values: Array, mass: Array) -> str:
    constant = len(values) < 3 or values.min() == values.max() or mass.min() == mass.max()
    return "" if constant else f"{spearmanr(values, mass).statistic:+.3f}"


def _print_origin(console: Console, path: Path) -> None:
    with events.opened(path) as file:
        said = {name: file.attrs[name] for name in ("what", "made_with", "selection") if name in file.attrs}
        if "cross_section_pb" in file.attrs:
            value, error = (file.attrs[f"cross_section_{name}"] for name in ("pb", "error_pb"))
            said["cross section"] = f"{value:.4g} ± {error:.2g} pb ({file.attrs['cross_section_of']})"
    for name, value in said.items():
        console.print(f"  {name}: {value}", soft_wrap=True, highlight=False)


def spectrum(samples: Sequence[Sample], mass: str) -> Figure:
    """Events against mass, one colour a class."""
    figure = Figure(figsize=(7, 4.4))
    axes = figure.subplots()
    edges = _edges([sample.mass for sample in samples], (0.0, 1.0))
    for index, sample in enumerate(samples):
        counts, _ = np.histogram(sample.mass, edges)
        colour = style.PALETTE[index % len(style.PALETTE)]
        axes.stairs(counts, edges, color=colour, lw=1.5, label=f"{sample.name} ({len(sample.mass):,})")
        middle = (edges[1:] + edges[:-1]) / 2
        axes.errorbar(middle[counts > 0], counts[counts > 0], np.sqrt(counts[counts > 0]), fmt="none", ecolor=colour)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5)
    axes.set_xlabel(style.with_unit(mass, samples[0].units[mass]))
    axes.set_ylabel("events per bin")
    axes.legend(fontsize=8, frameon=False)
    return figure


def features(samples: Sequence[Sample]) -> Figure | None:
    """The density of each feature, one colour a class."""
    names = _features(samples)
    if not names:
        return None
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        held = {index: sample for index, sample in enumerate(samples) if name in sample.features}
        edges = _edges([sample.features[name] for sample in held.values()])
        for index, sample in held.items():
            colour = style.PALETTE[index % len(style.PALETTE)]
            density, _ = np.histogram(sample.features[name], edges, density=True)
            axes.stairs(density, edges, color=colour, lw=1.5, label=sample.name)
        axes.set_xlabel(style.with_unit(name, next(iter(held.values())).units[name]))
        axes.set_yticks([])
    _legend(figure, samples)
    figure.supylabel("density", fontsize=10)
    return figure


def correlation(samples: Sequence[Sample], mass: str) -> Figure | None:
    """Median and central 68 % of each feature against the mass, one colour a class."""
    names = _features(samples)
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
            low, middle, high = np.array([np.quantile(values, [0.16, 0.5, 0.84]) for values in kept.values()]).T
            x = [(edges[i - 1] + edges[i]) / 2 for i in kept]
            colour = style.PALETTE[index % len(style.PALETTE)]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
            axes.plot(x, middle, color=colour, marker=".", label=sample.name)
        axes.set_ylabel(style.with_unit(name, next(s.units[name] for s in samples if name in s.features)))
        axes.set_xlabel(style.with_unit(mass, samples[0].units[mass]))
    _legend(figure, samples)
    return figure


def _legend(figure: Figure, samples: Sequence[Sample]) -> None:
    lines = [Line2D([], [], color=style.PALETTE[index % len(style.PALETTE)]) for index in range(len(samples))]
    names = [sample.name for sample in samples]
    figure.legend(lines, names, loc="outside upper center", ncols=min(len(names), 4), fontsize=9, frameon=False)


def _features(samples: Sequence[Sample]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.features))


def _panels(number: int) -> tuple[Figure, list[Axes]]:
    columns = min(number, 4)
    rows = -(-number // columns)
    figure = Figure(figsize=(3.2 * columns, 2.7 * rows))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in panels[number:]:
        spare.remove()
    return figure, panels[:number]


def _edges(values: Sequence[Array], quantiles: tuple[float, float] = (0.001, 0.999), number: int = BINS + 1) -> Array:
    """Bin edges that take in those quantiles of every sample."""
    ends = np.array([np.quantile(one, quantiles) for one in values])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    return np.linspace(low, high if high > low else low + 1, number).astype(np.float32)

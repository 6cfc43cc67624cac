"""How figures look, and how they are written."""

from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("Agg")
sns.set_theme(context="notebook", style="ticks", font_scale=0.9)
mpl.rcParams.update({"svg.hashsalt": "sideband", "figure.constrained_layout.use": True, "axes.grid": True})
mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})

# Less the grey, which is the references', and the yellow, which hardly shows on white.
_COLOURBLIND = sns.color_palette("colorblind", 10)
_DARK = sns.color_palette("dark", 8)  # those first that are least like the ones before them
PALETTE = [*_COLOURBLIND[:7], _COLOURBLIND[9], *(_DARK[place] for place in (0, 4, 5, 3, 2, 1, 6, 7))]


def save(figure: Figure, stem: str | Path) -> None:
    """Write a figure as PNG and SVG, without dates, so that equal figures are equal files."""
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(f"{stem}.png", dpi=150)
    figure.savefig(f"{stem}.svg", metadata={"Date": None})


def from_zero(axes: Axes) -> None:
    """Let y begin at 0, with room above the highest point, of which lines that lie close together leave none."""
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


def with_unit(name: str, unit: str) -> str:
    """An axis label."""
    return f"{name} [{unit}]" if unit else name

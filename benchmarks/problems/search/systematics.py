"""δ_sys: what a template's excess is where there is no signal, and significances that contain it (arXiv:2411.00085)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sideband.benchmarks.metrics import excess
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.report.records import row

if TYPE_CHECKING:
    from sideband.benchmarks.grid.suite import Suite

PLACE = ("window", "injection", "seed", "method")
NUMBERS = ("metric", "value", "low", "high", "note")  # of a row; the rest says whose they are
COUNTED = ("observed", "expected")

Row = dict[str, Any]
Counts = tuple[float, float, float]


def across(suite: "Suite", rows: Sequence[Row]) -> Iterator[Row]:
    """δ_sys and the significance that contains it, of every cell of a signal region whose template was validated.

    A template is validated by the cells of its method in validation windows, of the same injection and any draw.
    """
    windows, validated = set(suites.validation(suite)), defaultdict(list)
    regions = []
    for cell, cut, counts in _counts(rows):
        if cell["window"] in windows:
            validated[cell["injection"], cell["method"], cut].append((cell["window"], counts))
        else:
            regions.append((cell, cut, counts))
    for cell, cut, counts in regions:
        found = [each for each in validated.get((cell["injection"], cell["method"], cut), []) if each[1][1] > 0]
        seen = len({window for window, _ in found})  # draws of one window err alike
        delta, error = excess.systematic(counts for _, counts in found)
        if delta == delta:
            note = f"root mean square relative excess of {len(found)} cells in validation windows"
            note += ", raised to its statistical error" if delta == error else ""
            yield cell | row(f"systematic_{cut}", delta, error, note)
            z = excess.significance(*counts, delta, seen)
            note = f"with a systematic error of {delta:.3g} from {seen} window{'s' * (seen > 1)}"
            yield cell | row(f"{excess.COMPLETE}_{cut}", z, note=note)


def _counts(rows: Sequence[Row]) -> Iterator[tuple[Row, str, Counts]]:
    """Whose, at which cut: events observed, expected, and the statistical error of these."""
    pairs: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for each in rows:
        what, _, cut = each["metric"].partition("_")
        if what in COUNTED:
            pairs[*(each[name] for name in PLACE), cut][what] = each
    for (*_, cut), both in pairs.items():
        observed, expected = (both[what] for what in COUNTED)
        cell = {key: value for key, value in observed.items() if key not in NUMBERS}
        yield cell, cut, (observed["value"], expected["value"], expected["high"] - expected["value"])

"""The excess of a search's window over a template, by the grid's own steps and evaluation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sideband.benchmarks.metrics import excess
from sideband.benchmarks.problems.search.evaluate import evaluate
from sideband.infer import score, template
from sideband.infer.errors import BadInput
from sideband.infer.model import Model


@dataclass(frozen=True)
class Excess:
    """Events observed and expected above a cut on cross-fitted scores.

    Args:
        efficiency: what the cut passes of the template.
        observed, expected: events in the window above the cut.
        error: statistical error of the expectation.
        systematic: δ_sys, its relative error from validation windows; None without these.
        windows: how many these are.
        significance: Z, with all errors that there are.
    """

    efficiency: float
    observed: int
    expected: float
    error: float
    systematic: float | None
    windows: int
    significance: float

    @property
    def probability(self) -> float:
        """The one-sided p-value of Z."""
        return excess.probability(self.significance)

    @property
    def errors(self) -> str:
        """Which errors Z contains."""
        if self.systematic is None:
            return "statistical errors only"
        return (
            f"statistical errors and δ_sys = {self.systematic:.3g} from {self.windows} window{'s' * (self.windows > 1)}"
        )

    def __str__(self) -> str:
        return (
            f"efficiency {self.efficiency:g}: {self.observed} observed, {self.expected:.1f} ± {self.error:.1f} "
            f"expected, Z = {self.significance:.2f}, p = {self.probability:.2g}; {self.errors}"
        )


def counted(cell: Path, task: Path, efficiencies: Sequence[float]) -> list[dict[str, Any]]:
    """What a finished cell with a cross-fit has above each cut in its task's window; see `metrics.excess.Excess`."""
    folds = [Model(path) for path in sorted(cell.glob("fold*.onnx"), key=lambda path: int(path.stem[4:]))]
    made, of_data, of_template = (cell / f"{name}.h5" for name in ("template", "scores", "template_scores"))
    template.generate(Model(cell / "template.onnx"), task, made)
    score.score(folds, task, of_data, "data")
    score.score(folds, made, of_template)
    record = evaluate(task, of_data, made, of_data, of_template, tuple(efficiencies))
    found: list[dict[str, Any]] = record["excess"]
    return found


def with_systematic(region: dict[str, Any], validated: Iterable[dict[str, Any]]) -> Excess:
    """The excess of a signal region with δ_sys from what validation windows have above the same cut."""
    counts = [(each["observed"], each["expected"], each["error"]) for each in validated if each["expected"] > 0]
    delta, _ = excess.systematic(counts)
    if delta != delta:  # nothing was validated
        return Excess(**region, systematic=None, windows=0)
    z = excess.significance(region["observed"], region["expected"], region["error"], delta, len(counts))
    return Excess(**{**region, "significance": z}, systematic=delta, windows=len(counts))


def check_efficiencies(given: Any) -> list[float]:
    """Efficiencies as numbers between 0 and 1; raises `BadInput`."""
    try:
        found = [float(each) for each in given]
    except (TypeError, ValueError):
        found = []
    if not found or not all(0 < each < 1 for each in found):
        raise BadInput(f"efficiencies: {given!r} are no numbers between 0 and 1; give some, as in (1e-2, 1e-3)")
    return found

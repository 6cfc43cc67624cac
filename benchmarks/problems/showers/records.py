"""The evaluation of a score of showers: what its record holds, and the numbers in it."""

from collections.abc import Iterator
from typing import Any

from sideband.benchmarks.report.records import CLOSURE, COUNT, NUMBER, TEXT, VALUE, Schema, holding, or_none, row

_SAMPLE = holding(
    {
        "name": TEXT,
        "events": COUNT,
        **dict.fromkeys(("auc", "matched_auc", "sic", "matched_sic", "max_sic", "matched_max_sic"), VALUE),
        **dict.fromkeys(("achieved", "matched_achieved"), NUMBER),
    }
)

EVALUATION: Schema = holding(
    {"closure": or_none(CLOSURE), "samples": {"type": "array", "items": _SAMPLE}}, closure_shape=CLOSURE
)


def rows(evaluation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Closure, and AUC and SIC of every sample of decays."""
    for key, metric in (("closure", "closure_auc"), ("closure_shape", "closure_shape_auc")):
        closed = evaluation.get(key)
        if closed is not None:
            yield row(metric, closed["auc"], closed["error"], f"{closed['events']} events a side")
    for sample in evaluation["samples"]:
        for key in ("auc", "matched_auc", "max_sic", "matched_max_sic"):
            yield row(f"shower_{key}", sample[key], note=f"{sample['events']} decays") | {"sample": sample["name"]}
        for key in ("", "matched_"):
            at = f"at background efficiency {sample[f'{key}achieved']:.3g}"
            yield row(f"shower_{key}sic", sample[f"{key}sic"], note=at) | {"sample": sample["name"]}

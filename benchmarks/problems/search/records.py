"""The evaluation of a cell of a search: what its record holds, and the numbers in it."""

from collections.abc import Iterator
from typing import Any

from sideband.benchmarks.metrics import excess, sculpting, sic
from sideband.benchmarks.report.records import CLOSURE, COUNT, NUMBER, VALUE, Schema, holding, items, or_none, row
from sideband.benchmarks.tracking import names

WEIGHTS = 40  # bins between those of `closure.WEIGHTS`, which takes seconds to import

_NUMBERS: Schema = {"type": "array", "items": NUMBER}
_SIC = holding(
    {
        **dict.fromkeys(("sic", "maximum", "auc"), VALUE),
        **dict.fromkeys(("sic_spread", "maximum_spread", "maximum_at"), NUMBER),
        "curve": items(VALUE, len(sic.GRID)),
        "n_background": COUNT,
    }
)
_CLOSED = holding({**CLOSURE["properties"], "weights": items(items(NUMBER, WEIGHTS), 2)})
_EXCESS = holding({**dict.fromkeys(("efficiency", "observed", "expected", "error"), NUMBER), "significance": VALUE})
_SCULPTING = holding(
    {
        "efficiencies": items(NUMBER, len(sculpting.EFFICIENCIES)),
        **{key: items(COUNT, len(sculpting.EFFICIENCIES)) for key in ("selected", "bins")},
        **{key: items(VALUE, len(sculpting.EFFICIENCIES)) for key in ("chi2", "random")},
        **{key: items(NUMBER, sculpting.SHOWN_BINS) for key in ("before", "after")},
        "edges": items(NUMBER, sculpting.SHOWN_BINS + 1),
    }
)
_SPECTRUM = holding({"efficiency": NUMBER, **dict.fromkeys(("observed", "expected", "error"), _NUMBERS)})
_SPECTRA = holding({"edges": _NUMBERS, "cuts": {"type": "array", "items": _SPECTRUM}})

EVALUATION: Schema = holding(
    {
        "sic": or_none(_SIC),
        "closure": or_none(_CLOSED),
        "excess": or_none({"type": "array", "items": _EXCESS}),
    },
    signal_like=CLOSURE,
    latent_closure=CLOSURE,
    sculpting=or_none(_SCULPTING),
    spectra=_SPECTRA,
)


def rows(evaluation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """SIC, AUC, closure, sculpting and excess, so far as the task allows them."""
    found = evaluation["sic"]
    if found is not None:
        note = f"{found['n_background']} test background events; spread: Poisson bootstrap"
        yield row("sic_1e-3", found["sic"], found["sic_spread"], note)
        at = f"at background efficiency {found['maximum_at']:.2g}; {note}"
        yield row("max_sic", found["maximum"], found["maximum_spread"], at)
        yield row("auc", found["auc"], note="signal against background")
    closed = evaluation["closure"]
    if closed is not None:
        yield row("closure_auc", closed["auc"], closed["error"], f"{closed['events']} events a side")
    grown = evaluation.get("signal_like")
    if grown is not None:
        note = f"{grown['events']} template events that were signal, against background"
        yield row("signal_like_auc", grown["auc"], grown["error"], note)
    encoded = evaluation.get("latent_closure")
    if encoded is not None:
        note = f"{encoded['events']} events a side, in the latent space"
        yield row("latent_closure_auc", encoded["auc"], encoded["error"], note)
    shaped = evaluation.get("sculpting")
    if shaped is not None:
        for place, efficiency in enumerate(shaped["efficiencies"]):
            random = shaped["random"][place]
            note = (
                f"χ²/ndof of the background's mass spectrum in {shaped['bins'][place]} bins; of a random selection "
                f"{'n/a' if random is None else f'{random:.3g}'}"
            )
            yield row(f"sculpting_{efficiency:g}", shaped["chi2"][place], note=note)
    for item in evaluation["excess"] or []:
        note = f"observed {item['observed']}, expected {item['expected']:.1f} ± {item['error']:.1f}"
        cut = names.cut(item["efficiency"])
        yield row(f"{excess.DIRECT}_{cut}", item["significance"], note=note)
        yield row(f"observed_{cut}", item["observed"], note="data events above the cut")
        yield row(f"expected_{cut}", item["expected"], item["error"], "from the template, with its statistical error")

"""The JSON records that steps write beside their results, checked for everything that a report reads from them."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from sideband.benchmarks.metrics import sic
from sideband.infer.errors import BadInput

Schema = dict[str, Any]

WEIGHTS = 40  # bins between those of `closure.WEIGHTS`, which takes seconds to import

NUMBER: Schema = {"type": "number"}
VALUE: Schema = {"type": ["number", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
TEXT: Schema = {"type": "string"}


def _holding(needed: Schema, **further: Schema) -> Schema:
    return {"type": "object", "required": list(needed), "properties": {**needed, **further}}


def _or_none(schema: Schema) -> Schema:
    return schema | {"type": [schema["type"], "null"]}


def _list(items: Schema, length: int) -> Schema:
    return {"type": "array", "items": items, "minItems": length, "maxItems": length}


def _rows(items: Schema, key: str, values: tuple[str, ...]) -> Schema:
    """A list of rows, some of them with each of the values of a key."""
    some = [{"contains": {"properties": {key: {"const": value}}}} for value in values]
    return {"type": "array", "items": items, "allOf": some}


_CLOSED = _holding({"auc": VALUE, "error": NUMBER, "events": POSITIVE})
_WEIGHTS = _holding({"weights": _list(_list(NUMBER, WEIGHTS), 2)})
_SIC = _holding(
    {
        **dict.fromkeys(("sic", "maximum", "auc"), VALUE),
        **dict.fromkeys(("sic_spread", "maximum_spread", "maximum_at"), NUMBER),
        "curve": _list(VALUE, len(sic.GRID)),
        "n_background": COUNT,
    }
)
_SAMPLE = _holding(
    {
        "name": TEXT,
        "events": COUNT,
        **dict.fromkeys(("auc", "matched_auc", "sic", "matched_sic", "max_sic", "matched_max_sic"), VALUE),
        **dict.fromkeys(("achieved", "matched_achieved"), NUMBER),
    }
)
_EXCESS = _holding({**dict.fromkeys(("efficiency", "observed", "expected", "error"), NUMBER), "significance": VALUE})
_GRAPH = {"role": {"enum": ["template", "score", "density"]}, "method": TEXT, "batch": POSITIVE, "threads": POSITIVE}

SCHEMAS: dict[str, Schema] = {
    "fit": _holding(
        {
            "device": TEXT,
            "threads": POSITIVE,
            **dict.fromkeys(("seconds", "cpu_seconds", "peak_memory_mib"), NUMBER),
            "fits": {
                "type": "object",
                "additionalProperties": _holding({"events_per_second": VALUE, "epochs": COUNT}, cpu_seconds=NUMBER),
            },
            "outside_fitted_range": {"type": "object", "additionalProperties": COUNT},
        },
        signal_fraction=NUMBER,
    )
    | {"dependentRequired": {"signal_fraction": ["members_kept"]}},
    "evaluation": _holding(
        {"sic": _or_none(_SIC), "closure": _or_none(_CLOSED), "excess": _or_none({"type": "array", "items": _EXCESS})},
        signal_like=_CLOSED,
        closure_shape=_CLOSED,
        samples={"type": "array", "items": _SAMPLE},
    )
    | {"if": {"required": ["samples"]}, "else": {"properties": {"closure": _or_none(_WEIGHTS)}}},  # those of showers
    "control": _holding({"floor": _or_none(_CLOSED), "sidebands": _or_none(_CLOSED)}),
    "timing": _rows(
        _holding(
            {
                **_GRAPH,
                "scope": {"enum": ["graph", "host", "file"]},
                "provider": TEXT,
                **dict.fromkeys(("events_per_second", "p10", "p90", "total_seconds", "seconds_asked"), NUMBER),
                "fraction_of_matmul": VALUE,
            }
        ),
        "scope",
        ("graph", "host", "file"),
    ),
    "compare": _rows(
        _holding({**_GRAPH, "engine": TEXT, "parity": NUMBER}, events_per_second=NUMBER, missing=TEXT)
        | {"anyOf": [{"required": ["events_per_second"]}, {"required": ["missing"]}]},
        "engine",
        ("onnxruntime", "torch eager"),
    ),
    "export": {"type": "array", "items": _holding({"role": TEXT, "spread": NUMBER, "drift": NUMBER})},
}


def read(path: Path) -> Any:
    """Read a record, of the kind that the name of its file begins with.

    Raises:
        BadInput: truncated, or not as a step has written it.
    """
    kind = path.stem.partition("_")[0]
    if not path.is_file():  # a pipe, say, which to read would wait for ever
        raise BadInput(f"{path}: is no regular file; remove it, and run the suite again")
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not a whole record; remove it, and run the suite again") from error
    wrong = next(jsonschema.Draft202012Validator(SCHEMAS[kind]).iter_errors(record), None)
    if wrong is not None:
        place = ".".join(str(step) for step in wrong.absolute_path) or "the record"
        said = " ".join(wrong.message.split())[-120:]
        raise BadInput(f"{path}: {place}: {said}; remove the file, and run the suite again")
    return record

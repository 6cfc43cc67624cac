"""The JSON records that steps write beside their results, checked for everything that a report reads from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from sideband.infer.errors import BadInput

Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
VALUE: Schema = {"type": ["number", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
TEXT: Schema = {"type": "string"}


def holding(needed: Schema, **further: Schema) -> Schema:
    """An object with these keys, and perhaps further ones."""
    return {"type": "object", "required": list(needed), "properties": {**needed, **further}}


def or_none(schema: Schema) -> Schema:
    """The same, or null."""
    return schema | {"type": [schema["type"], "null"]}


def items(schema: Schema, length: int) -> Schema:
    """A list of some length."""
    return {"type": "array", "items": schema, "minItems": length, "maxItems": length}


def _rows(schema: Schema, key: str, values: tuple[str, ...]) -> Schema:
    """A list of rows, some of them with each of the values of a key."""
    some = [{"contains": {"properties": {key: {"const": value}}}} for value in values]
    return {"type": "array", "items": schema, "allOf": some}


CLOSURE = holding({"auc": VALUE, "error": NUMBER, "events": POSITIVE})
_GRAPH = {"role": {"enum": ["template", "score", "density"]}, "method": TEXT, "batch": POSITIVE, "threads": POSITIVE}
_CURVE = {"type": "array", "items": NUMBER, "minItems": 2}
_INTERVAL = holding(
    {
        **dict.fromkeys(("fraction", "low", "high", "gain"), NUMBER),
        **dict.fromkeys(("fractions", "gains", "errors"), _CURVE),
        "self_closure": {"type": "boolean"},
    }
)

SCHEMAS: dict[str, Schema] = {
    "fit": holding(
        {
            "device": TEXT,
            "threads": POSITIVE,
            **dict.fromkeys(("seconds", "cpu_seconds", "peak_memory_mib"), NUMBER),
            "fits": {
                "type": "object",
                "additionalProperties": holding({"events_per_second": VALUE, "steps": COUNT}, cpu_seconds=NUMBER),
            },
            "outside_fitted_range": {"type": "object", "additionalProperties": COUNT},
        },
        signal_fraction=NUMBER,
        found={"type": "boolean"},
        evidence=NUMBER,
        interval=_INTERVAL,
    )
    | {"dependentRequired": {"signal_fraction": ["members_kept", "found"]}},
    "control": holding({"floor": or_none(CLOSURE), "sidebands": or_none(CLOSURE)}),
    "timing": _rows(
        holding(
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
        holding({**_GRAPH, "engine": TEXT, "parity": NUMBER}, events_per_second=NUMBER, missing=TEXT)
        | {"anyOf": [{"required": ["events_per_second"]}, {"required": ["missing"]}]},
        "engine",
        ("onnxruntime", "torch eager"),
    ),
    "export": {"type": "array", "items": holding({"role": TEXT, "spread": NUMBER, "drift": NUMBER})},
}


def read(path: Path, schema: Mapping[str, Any] | None = None) -> Any:
    """Read a record.

    Args:
        path: the record; the beginning of its name says what it is of.
        schema: what it must hold, where that depends on the problem, as of an evaluation.

    Raises:
        BadInput: a record that is truncated, or not as a step has written it.
    """
    schema = schema or SCHEMAS[path.stem.partition("_")[0]]
    if not path.is_file():  # to read a pipe, say, would take forever
        raise BadInput(f"{path}: is no regular file; remove it, and run the suite again")
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not a whole record; remove it, and run the suite again") from error
    wrong = next(jsonschema.Draft202012Validator(schema).iter_errors(record), None)
    if wrong is not None:
        place = ".".join(str(step) for step in wrong.absolute_path) or "the record"
        what = " ".join(wrong.message.split())[-120:]
        raise BadInput(f"{path}: {place}: {what}; remove the file, and run the suite again")
    return record


def row(metric: str, value: float | None, error: float = 0.0, note: str = "") -> dict[str, Any]:
    """One number of a record, as a row of results.csv."""
    value = float("nan") if value is None else value
    return {"metric": metric, "value": value, "low": value - error, "high": value + error, "note": note}

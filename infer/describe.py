"""What an exported file says of itself, as a text that a person reads."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .inputs import Constant, Drawn, Noise, Rows, Target
from .metadata import Port
from .model import Model

WIDTH, LABEL = 110, 14  # characters of a line, and of the label that it may begin with
HEAD = ("", "shape", "column", "unit", "fitted range", "what it is")


def description(model: Model) -> str:
    """The tables of inputs and outputs, and what else the metadata say, in short."""
    told = model.metadata
    lines = [f"{model.path}: {told['role']} of {told['method']} {told.get('paper', '')}".rstrip(), ""]
    values = told["inputs"]
    rows = [row for name, port in model.inputs.items() for row in _rows(name, port, told, values[name].get("value"))]
    lines += _table(("input", *HEAD[1:]), rows)
    rows = [row for name, port in model.outputs.items() for row in _rows(name, port, told)]
    lines += ["", *_table(("output", *HEAD[1:]), rows), ""]
    for label, text in _facts(model):
        lines += _labelled(label, text)
    return "\n".join([*lines, "", "All settings, and the rest of the metadata: --json"])


def _rows(name: str, port: Port, told: Mapping[str, Any], value: float | None = None) -> Iterator[Sequence[str]]:
    """The rows of an input or an output, one a column."""
    means = drawing(port.drawn, value) if port.drawn and told["role"] in ("template", "signal") else ""
    if port.meaning:
        means = f"{port.meaning.text}: {port.meaning.range}"
    first = (name, f"[N, {port.width}]")
    for column, unit, width in zip(port.columns, port.units, port.widths, strict=True):
        low, high = told["fitted_range"].get(column, (None, None))
        yield (
            *first,
            column if width == 1 else f"{column} ({width} numbers)",
            unit,
            "" if low is None else f"{low:.4g} to {high:.4g}",
            means,
        )
        first, means = ("", ""), ""


def drawing(drawn: Drawn, value: float | None) -> str:
    """How an input is drawn."""
    match drawn:
        case Noise():
            return "standard normal numbers"
        case Target():
            return "target masses"
        case Constant(edge, margin):
            return f"{'' if value is None else f'{value:.6g}: '}{margin:g} window widths beyond the {edge} edge"
        case Rows(group, region, order, file):
            where = f"{group} of {file}" if file else f"{group}, {region}"
            return f"rows of {where}, {'in turn' if order == 'turn' else 'at random'}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns; a column that no row fills is left out."""
    kept = [index for index in range(len(head)) if index == 0 or any(row[index] for row in rows)]
    table = [[row[index] for index in kept] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:{width}s}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    told = model.metadata
    if told["window"]:
        unit = f" {told['mass_unit']}" if told.get("mass_unit") else ""
        low, high = (
            " to ".join(f"{edge:g}" for edge in told[key]) if told[key] else "" for key in ("window", "mass_range")
        )
        of = f" of {told['mass']}" if "mass" in told else ""
        yield "window", f"{low}{unit}{of}" + (f", fitted in {high}{unit}" if high else "")
        yield "good for", "every window" if told.get("scope") == "all" else "this window alone"
    yield "events", f"{told.get('dataset', 'unknown')} (sha256 {told.get('dataset_sha256', 'unknown')})"
    yield "draw", f"injection {told.get('injection', 'unknown')}, seed {told['seed']}"
    method, classifier, shared = (told["settings"].get(key) or {} for key in ("method", "classifier", "shared"))
    yield "settings", _short(method)
    yield "classifier", _short(classifier) if told["role"] == "score" else ""
    yield "stands on", ", ".join(shared)
    yield "provider", "CPU alone: it is made of trees" if told["cpu_only"] else "any"
    yield "code", f"{told.get('code', 'unknown')}, licence {told.get('licence', 'unknown')}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    yield (
        "sha256",
        f"{model.sha256} ({'as in export.json' if model.verified else 'not checked: no export.json names it'})",
    )


def _short(settings: Mapping[str, Any]) -> str:
    """The settings that are no groups of settings."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if not isinstance(value, Mapping))


def _labelled(label: str, text: str) -> list[str]:
    """Wrapped lines behind a label; none without a text."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label:{LABEL}s}",
        subsequent_indent=" " * LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )

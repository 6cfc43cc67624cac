"""The report of a suite: one self-contained HTML page, figures as PNG and SVG, and tidy CSV tables."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from sideband.benchmarks.grid.suite import Cell, Suite
from sideband.benchmarks.report import cost, readout, speed, style
from sideband.benchmarks.report.content import Picture, Section, Table
from sideband.benchmarks.report.results import Results, gather
from sideband.infer import events, provenance

LEAST = 72  # pixels of the page an inch of a figure: narrower, and its text is too small to read; it scrolls instead
TEMPLATE = Path(__file__).with_name("page.html")


def write(suite: Suite, folder: Path) -> Path:
    """Write the report of what is finished in a suite's folder; returns the page."""
    results = gather(suite, folder)
    out = folder / "report"
    frames = {"results": results.numbers, "sic_curves": results.curves}
    for name, frame in {**frames, "throughput": results.timings, "compare": results.comparisons}.items():
        with events.atomic(out / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False)
    shown = results.without(results.unfinished)
    verdict = suite.problem.verdict(shown.without(suite.set_apart()))
    sections = [_rendered(section, out / "figures") for section in _sections(shown, results)]
    for cell in suite.cells():
        _draw_cell(results, cell, out / "cells" / cell.folder)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    html = environment.from_string(TEMPLATE.read_text()).render(
        suite=suite,
        fine=readout.FINE,
        verdict=_rendered(verdict, out / "figures") if verdict else None,
        sections=sections,
        protocol=suite.problem.protocol(results),
        code=provenance.code(),
        machine=provenance.machine(),
        versions=provenance.versions(),
    )
    with events.atomic(out / "index.html") as temporary:
        temporary.write_text(html)
    return out / "index.html"


def _rendered(section: Section, folder: Path) -> dict[str, Any]:
    """A section as the page takes it; its figures are written to a folder."""
    heading, text, content = section
    parts: list[dict[str, Any]] = []
    for part in content:
        if isinstance(part, Picture):
            stem = str(folder / part.name)
            style.save(part.figure, stem)
            image = {"image": _inline(Path(f"{stem}.svg")), "readout": readout.of(part.figure)}
            least = round(LEAST * part.figure.get_figwidth())
            parts.append({**image, "caption": part.caption, "name": part.name, "least": least})
        else:
            parts.append({"table": part})
    return {"heading": heading, "text": text, "parts": parts}


def _inline(drawing: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.read_bytes()).decode()


def _sections(everything: Results, whole: Results) -> Iterator[Section]:
    """All sections of the methods that were run; `whole` knows the others too."""
    problem, results = everything.suite.problem, everything.without(everything.suite.set_apart())
    yield from problem.sections(everything)
    timed = speed.section(results)
    if timed is not None:
        yield timed
    yield cost.section(results)
    yield "Tasks", "", [problem.drawn(results)]
    if whole.missing:
        yield missing(whole)
    yield "Methods", "", [problem.published()]


def missing(results: Results) -> Section:
    """The cells that are not finished; methods of which no cell is are named once."""
    rows = [[cell.folder] for cell in results.missing if cell.method not in results.unfinished]
    text = "Logs of what was begun lie in logs/."
    if results.unfinished:
        text = f"No cell is finished of {'; '.join(map(style.title, results.unfinished))}. {text}"
    return "Missing", text, [Table("Cells that did not finish.", ["cell"], rows)] if rows else []


def _draw_cell(results: Results, cell: Cell, folder: Path) -> None:
    """The figures that go to the cell's own run in MLflow."""
    for name, figure in results.suite.problem.figures(results, cell).items():
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=80)

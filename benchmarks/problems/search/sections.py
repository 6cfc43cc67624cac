"""Sections of the report of a search, and its protocol."""

from collections.abc import Iterator, Mapping
from typing import Any

from sideband.benchmarks.events import task
from sideband.benchmarks.metrics import closure as metric
from sideband.benchmarks.problems.search import (
    closure,
    evaluate,
    excess,
    figures,
    labels,
    sculpting,
    signal,
    studies,
    tables,
)
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.report import style
from sideband.benchmarks.report.content import Picture, Section, Table
from sideband.benchmarks.report.results import Results


def sections(everything: Results) -> Iterator[Section]:
    """What was found, so far as the grid is finished; each study of the suite has a section of its own."""
    results = everything.without(everything.suite.set_apart())
    if "tasks" in everything.suite.content:  # a section of their own compares them; the first is shown in full
        results = results.at(next(iter(everything.suite.windows())))
    regions, validated = (
        labels.ordered(results.suite, names)
        for names in (suites.regions(results.suite), suites.validation(results.suite))
    )
    shown = regions[:1] if any(study.vary == "windows" for study in results.suite.studies) else regions
    yield from _sensitivity(results, shown)
    yield _closure(results, [*validated, *shown])
    for section in (excess.section(results), signal.section(results), sculpting.section(results)):
        if section is not None:
            yield section
    yield from studies.sections(everything)


def _sensitivity(results: Results, windows: list[str]) -> Iterator[Section]:
    if not results.suite.labelled:
        text = (
            "The events have no labels, so nobody knows which are signal: there is no SIC, no idealised detector and "
            "no supervised classifier to compare with. What follows needs no truth."
        )
        yield "Sensitivity", text, []
        return
    injection = results.suite.timed()[0].injection
    picture = Picture(
        "headline",
        "Sensitivity against template throughput, one point a method; those without a generator at the left.",
        figures.headline(results, injection, windows[0]),
    )
    yield "Sensitivity against throughput", "", [picture]
    content: list[Table | Picture] = []
    for window in windows:
        caption = f"SIC curves in {labels.window(results, window)}: every run thin, the median thick."
        content.append(Picture(f"sic_{window}", caption, figures.sic_curves(results, window)))
        content.append(tables.sic(results, window))
    yield "Sensitivity", _sic_text(), content


def _closure(results: Results, windows: list[str]) -> Section:
    injection = results.suite.timed()[0].injection
    content: list[Table | Picture] = []
    for window in windows:
        overview = closure.overview(results, window)
        if overview is None:
            continue
        here = labels.window(results, window)
        caption = f"Closure in {here}. Grey band: truth against truth; red: raw sidebands, the positive control."
        content += [Picture(f"closure_{window}", caption, overview), tables.closure(results, window)]
        weights = closure.weights(results, window, injection)
        if weights is not None:
            caption = (
                f"Weights of the closure test, {here}, {labels.injected(results.suite, injection)}, first seed: 1 "
                "where nothing tells them apart."
            )
            content.append(Picture(f"weights_{window}", caption, weights))
        content += list(_overlays(results, window, injection))
    return "Closure", _closure_text(results), content


def _overlays(results: Results, window: str, injection: str) -> Iterator[Picture]:
    """Features of every template of the first seed."""
    seed = next(iter(results.suite.seeds(injection)))
    folder = results.folder / window / injection / seed
    if not (folder / "task.h5").exists():
        return
    the_task = task.read(folder / "task.h5")
    truth = evaluate.background(the_task)
    if truth is None:
        return
    for name in results.suite["methods"]:
        path = folder / name / "template.h5"
        drawn = closure.overlays(the_task, path, truth, name) if path.exists() else None
        if drawn is not None:
            place = f"{labels.window(results, window)}, {labels.injected(results.suite, injection)}, {seed}"
            caption = f"{style.title(name)}, {place}: features with pulls (band: ± 2)."
            yield Picture(f"features_{window}_{name}", caption, drawn)


def protocol(results: Results) -> dict[str, str]:
    """What was done, in words, with the suite's own numbers."""
    suite, drawn = results.suite, results.tasks
    low, high = suite["mass_range"]
    inside, validated = (
        ", ".join(labels.window(results, name) for name in labels.ordered(suite, names))
        for names in (suites.regions(suite), suites.validation(suite))
    )
    events = [f"{row['dataset']} (sha256 {row['dataset_sha256'][:16]}…)" for _, row in drawn.head(1).iterrows()]
    if "data_events" in suite.content:
        events.append(f"{suite['data_events']:,} background events drawn for the data of each seed")
    signal = (
        f"{', '.join(f'{number:,}' for number in suite['injections'])} events injected over the whole mass range, a "
        "new random draw for each seed; numbers achieved in the window are in the table of tasks."
        if suite.labelled
        else "The events are taken as they are; their labels are not known."
    )
    beside = f" validation windows {validated}, without the first signal region;" if validated else ""
    narrowed = " CWoLa narrows them to strips beside the window." if "cwola" in suite["methods"] else ""
    strips = " CWoLa's is each event of its strips, once." if "cwola" in suite["methods"] else ""
    return {
        "events": "; ".join(events) + ".",
        "masses": f"Mass range {low:g}–{high:g} {results.mass_unit}; signal region {inside};{beside} sidebands: the "
        f"rest.{narrowed}",
        "signal": signal,
        "templates": f"{suite['oversampling']} times the signal-region data, at their masses; one draw for all."
        + strips,
        "classifier": _classifier(suite["classifier"]),
        **studies.protocol(results),
    }


def _classifier(settings: Mapping[str, Any]) -> str:
    """The classifier of all methods, and what the suite changes of its defaults."""
    kind = {"trees": "Boosted trees", "mlp": "MLPs"}[settings.get("kind", "trees")]
    changed = ", ".join(f"{name} {value}" for name, value in _flat(settings) if name != "kind")
    return f"{kind}, the same for every method; {changed or 'all settings at their defaults'}."


def _flat(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by name; those of a section as `section.name`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _sic_text() -> str:
    return (
        "SIC = ε_S/√ε_B on test events that no fit has seen; all scores come from ONNX Runtime. Max SIC is taken where "
        "1/√(ε_B N_B) < 0.2 with the actual number N_B of test background events; SIC at ε_B = 10⁻³ is n/a where fewer "
        "than 25 of them pass. Ratios are paired: both methods saw the same draw. The band is the spread over draws; "
        "the spread in a Poisson bootstrap of the test events stands beside each run in results.csv. The idealised "
        "detector has true background for a template, the supervised classifier true labels; CWoLa takes strips "
        "of the sidebands for a template, with their features as they are."
    )


def _closure_text(results: Results) -> str:
    sizes = results.numbers["note"].str.extract(r"^(\d+) events a side")[0].dropna().astype(int)
    text = (
        f"A fixed boosted-tree classifier, {metric.FOLDS}-fold, is trained to tell the template from true "
        "background in the window, on all features together. An AUC of 0.5 means that it cannot."
    )
    if not results.suite.labelled:
        text += (
            " Without labels the true background is known in sideband validation windows alone, where the data are "
            "taken for background; the signal region is left out of the fits there, and has no closure of its own."
        )
    if len(sizes) and sizes.min() < metric.LEAST_EVENTS:
        text += (
            f" With {sizes.min()} events a side, fewer than the {metric.LEAST_EVENTS} of the protocol, small failures "
            "go unseen."
        )
    return text

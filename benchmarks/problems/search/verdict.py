"""What the report begins with: one table of what speaks for and against each method, and who beats whom."""

from collections.abc import Callable

import pandas as pd

from sideband.benchmarks import catalogue
from sideband.benchmarks.metrics.excess import COMPLETE, DIRECT
from sideband.benchmarks.problems.search import excess, labels, ranking
from sideband.benchmarks.problems.search import suite as suites
from sideband.benchmarks.problems.search.ranking import QUANTITIES, Ranking
from sideband.benchmarks.report import cost, speed
from sideband.benchmarks.report.content import Section, Table, number
from sideband.benchmarks.report.results import Results

ALARM = 3.0  # the Z from which on an excess without signal is a false alarm
SHAPED = "0.01"  # the background efficiency at which sculpting is quoted
MANY = 10  # windows, beside one
ENOUGH = 8  # draws

Column = tuple[str, Callable[[str], str]]


def section(results: Results) -> Section:
    """The verdict, so far as the grid is finished; who beats whom stands there if the draws can tell."""
    rankings = ranking.of(results)
    text = " ".join([*(each.text() for each in rankings), *_cautions(results, rankings)])
    return "What to use", text, [_table(results, rankings), *(each.matrix() for each in rankings if each.enough)]


def _table(results: Results, rankings: list[Ranking]) -> Table:
    """One row a method; the first is the most sensitive near the turn-on."""
    columns: list[Column] = [("method", lambda name: labels.title(results, name))]
    for each in rankings:
        where = f"{labels.briefly(results.suite, each.injection)}, {labels.window(results, each.window)}"
        columns += [(f"{QUANTITIES[each.quantity]}, {where}", each.value), ("group", each.letters)]
        columns.append(("beats the best other", each.against_best))
    columns += [*_quality(results), *_costs(results), ("caution", lambda name: _caution(results, name))]
    order = list(rankings[0].values) if rankings else []
    names = [*order, *(name for name in results.suite["methods"] if name not in order)]
    rows = [[cell(name) for _, cell in columns] for name in names]
    caption = "One row a method."
    if rankings:
        caption += (
            " Methods that share a letter (group) are not told apart by the draws. Beats: the probability that the "
            "method wins more draws than it loses against the best other one that needs no truth (draws won of those "
            "decided). Injected: over all masses."
        )
    return Table(caption, [head for head, _ in columns], rows)


def _quality(results: Results) -> list[Column]:
    """Closure, sculpting and false alarms."""
    suite = results.suite
    injection = suite.timed()[0].injection
    windows = [labels.main_window(results, injection)] if suite.labelled else suites.validation(suite)
    named = ", ".join(labels.window(results, window) for window in labels.ordered(suite, windows))
    where = f"{labels.briefly(suite, injection)}, {named or 'no validation window'}"

    def measured(metric: str, digits: int) -> Callable[[str], str]:
        def cell(name: str) -> str:
            values = [results.values(metric, name, injection, window) for window in windows]
            return labels.spread([value for some in values for value in some.values()], digits)

        return cell

    columns: list[Column] = [(f"closure AUC, {where}", measured("closure_auc", 4))]
    if suite.labelled:
        columns.append((f"sculpting χ²/ndof at ε = {SHAPED}, {where}", measured(f"sculpting_{SHAPED}", 3)))
    empty = [name for name, injected in suite.injections().items() if injected == 0]
    rows = results.numbers
    if empty:
        rows = rows[rows["injection"].isin(empty) & rows["window"].isin(suites.regions(suite))]
        head = f"false alarms (Z ≥ {ALARM:g}), no signal injected"
    else:
        rows = rows[rows["window"].isin(suites.validation(suite))]
        head = f"false alarms (Z ≥ {ALARM:g}) in validation windows"
    return [*columns, (head, lambda name: _alarms(rows[rows["method"] == name]))]


def _alarms(rows: pd.DataFrame) -> str:
    """How many excesses of a method are false alarms, of all cuts and draws without signal."""
    for kind, errors in ((COMPLETE, "errors with δ_sys"), (DIRECT, excess.STATISTICAL)):
        found = rows[rows["metric"].str.startswith(f"{kind}_")]["value"].dropna()
        if len(found):
            return f"{int((found >= ALARM).sum())} of {len(found)}, largest Z {number(found.max())}, {errors}"
    return "n/a"


def _costs(results: Results) -> list[Column]:
    """Seconds to fit, rate of the template, and what is read."""
    costs, rates = cost.costs(results), speed.template_rates(results)

    def spent(windows: int) -> Callable[[str], str]:
        return lambda name: number(costs[name].whole(windows)) if name in costs else "n/a"

    return [
        ("CPU seconds to fit 1 window", spent(1)),
        (f"CPU seconds to fit {MANY} windows", spent(MANY)),
        ("template events/s", lambda name: number(rates.get(name, float("nan")))),
        ("needs", lambda name: _needs(results, name)),
    ]


def _needs(results: Results, method: str) -> str:
    """What a method and all that it stands on reads beside the data in the window."""
    entries = [catalogue.get(name) for name in (method, *sorted(results.suite.stands_on(method)))]
    if any(entry.truth for entry in entries):
        return "truth"
    return ", ".join(["sidebands", *dict.fromkeys(name for entry in entries for name in entry.events)])


def _caution(results: Results, method: str) -> str:
    """What a reader must know before taking a row's numbers for the method's best."""
    found = []
    stopped, trainings = cost.unconverged(results, method)
    if stopped:
        found.append(f"{stopped} of {trainings} trainings stopped before they converged")
    without = [name for name, injected in results.suite.injections().items() if injected == 0]
    searched = results.metric("signal_found")
    searched = searched[(searched["method"] == method) & ~searched["injection"].isin(without)]
    nothing = int((searched["value"] == 0).sum())
    if nothing:
        found.append(f"found nothing in {nothing} of {len(searched)} fits to data with signal")
    given = labels.background_given(results, method)
    if given == given:
        found.append(f"true background: {given:.2g} times the window's data")
    return "; ".join(found)


def _cautions(results: Results, rankings: list[Ranking]) -> list[str]:
    """The same for the whole table."""
    found = []
    if not results.suite.labelled:
        found.append("The events have no labels: no SIC, so the data cannot say which method is the most sensitive.")
    if any(each.draws < ENOUGH for each in rankings):
        found.append(f"Numbers from fewer than {ENOUGH} draws: their spread is the range from the least to the most.")
    names = results.suite["methods"]
    stopped = [labels.title(results, name) for name in names if cost.unconverged(results, name)[0]]
    if stopped:
        found.append(f"Trainings stopped before they converged: {'; '.join(stopped)}.")
    if any(labels.title(results, name) != catalogue.get(name).title for name in names):
        found.append("The over-idealised detector has more background than templates have events.")
    return found

"""Sections on what a suite varies beside the method: signal strength, the window, the task, or a setting."""

from collections.abc import Iterator

from sideband.benchmarks.problems.search.studies import scan, setting, strengths, tasks
from sideband.benchmarks.report.content import Section
from sideband.benchmarks.report.results import Results


def sections(results: Results) -> Iterator[Section]:
    """A section for each study of the suite that has numbers."""
    for study in results.suite.studies:
        if study.vary == "injections":
            found = strengths.section(results)
        elif study.vary == "windows":
            found = scan.section(results)
        elif study.vary == "tasks":
            found = tasks.section(results)
        else:
            found = setting.section(results, study)
        if found is not None:
            yield found


def protocol(results: Results) -> dict[str, str]:
    """What a study says of what was done, in place of what the rest of the report would say."""
    return tasks.protocol(results)

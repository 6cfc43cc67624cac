"""What each command of `python -m benchmarks` does."""

from sideband.benchmarks.commands import cells, events, suites

COMMANDS = {
    each.__name__: each
    for each in (
        *(suites.run, suites.produce, suites.merge, suites.report, suites.spent, suites.scores),
        *(suites.record, suites.migrate, suites.peers, suites.growth),
        *(events.download, events.generate, events.showers, events.describe, events.validate),
        *(cells.task, cells.control, cells.evaluate),
    )
}

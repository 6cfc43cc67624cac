"""Commands that are single steps of the grid. Heavy imports wait until one needs them."""

import argparse
from pathlib import Path

from sideband.infer import events
from sideband.infer.errors import BadInput


def task(arguments: argparse.Namespace) -> int:
    """Draw one task of a suite."""
    from sideband.benchmarks.events import sources
    from sideband.benchmarks.grid import suite as suites
    from sideband.benchmarks.grid.piece import named

    suite = suites.load(arguments.suite)
    kept = suites.path_of(arguments.suite)
    if "dataset" in suite.differing(kept)[1]:  # a run keeps the digest of the events that it began with
        raise BadInput(f"{kept}: the files of its events have changed since the run began; run the suite again")
    window, injection, seed = named(suite, arguments.window, arguments.injection, arguments.seed)
    inputs = sources.files(suite.at(window)["dataset"], Path()).values()
    events.check_output(arguments.out, [kept, *inputs])
    suite.draw(window, injection, seed, arguments.out)
    return 0


def control(arguments: argparse.Namespace) -> int:
    """Write floor and positive control of the closure test on a task."""
    from sideband.benchmarks import problems

    events.check_output(arguments.out, [arguments.task])
    problem = problems.of_task(arguments.task)
    events.write_json(arguments.out, problem.control(arguments.task, arguments.closure_events))
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Write the numbers of one cell."""
    from sideband.benchmarks import problems

    given = (arguments.scores, arguments.template, arguments.data_scores, arguments.template_scores)
    latents = tuple(arguments.latents or ())
    events.check_output(arguments.out, [arguments.task, *latents, *(path for path in given if path)])
    problem, efficiencies = problems.of_task(arguments.task), tuple(arguments.efficiencies)
    numbers = problem.evaluate(arguments.task, *given, efficiencies, arguments.closure_events, latents)
    events.write_json(arguments.out, numbers)
    return 0

from pathlib import Path

import pytest

from sideband.benchmarks.grid import progress, steps

ROOT = Path(__file__).parents[2]

# As Snakemake 9 prints it; fit_b fails while fit_a and score_a succeed.
LINES = """\
Building DAG of jobs...
Job stats:
job           count
----------  -------
everything        1
fit_a             2
fit_b             1
score_a           1
total             5

Select jobs to execute...
Execute 2 jobs...

[Sun Nov 22 08:16:57 2026]
localrule fit_b:
    output: d.txt
    log: logs/d.log
    jobid: 3
    reason: Missing output files: d.txt
[Sun Nov 22 08:16:57 2026]
localrule fit_a:
    output: a.txt
    log: logs/a.log
    jobid: 2
RuleException:
CalledProcessError in file "Snakefile", line 15:
[Sun Nov 22 08:16:57 2026]
Error in rule fit_b:
    message: None
    jobid: 3
    output: d.txt
    log: logs/d.log (check log file(s) for error details)
[Sun Nov 22 08:16:59 2026]
Finished jobid: 2 (Rule: fit_a)
1 of 5 steps (20%) done
[Sun Nov 22 08:16:59 2026]
localrule score_a:
    log: logs/b.log
    jobid: 1
Finished jobid: 1 (Rule: score_a)
2 of 5 steps (40%) done
Exiting because a job execution failed. Look above for error messages
WorkflowError:
At least one job did not complete successfully.
""".splitlines()


class Clock:
    """Stands in for `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_watch_counts_done_and_failed_jobs(clock: Clock) -> None:
    watch = progress.Watch({"fit_": 10.0}, cores=2)
    with watch.showing("test"):
        for line in LINES:
            watch.read(line)
    assert watch.failed == [("fit_b", "logs/d.log")]
    assert dict(watch._done) == {"fit_a": 1, "score_a": 1}
    assert dict(watch._planned) == {"fit_a": 2, "fit_b": 1, "score_a": 1}
    assert watch.last == "At least one job did not complete successfully."


def test_watch_estimates_the_seconds_left(clock: Clock) -> None:
    watch = progress.Watch({"fit_": 10.0, "throughput": 3.0}, cores=2)
    stats = ["job count", "fit_a 2", "fit_b 1", "score_a 1", "throughput_score_a 1", "total 5"]
    with watch.showing("test"):
        for line in stats:
            watch.read(line)
        default = steps.DEFAULT_SECONDS
        # On two cores, but what must run alone on the machine counts in full.
        assert watch.seconds_left() == pytest.approx((3 * 10 + default) / 2 + 3)
        watch.read("rule fit_a:")
        watch.read("    jobid: 7")
        clock.now += 20
        watch.read("Finished jobid: 7 (Rule: fit_a)")
        # This job took twice its budget: so will the others, as far as anyone knows.
        assert watch.expected("fit_a") == 20
        assert watch.expected("fit_b") == 20
        assert watch.expected("score_a") == 2 * default
        assert watch.seconds_left() == pytest.approx((20 + 20 + 2 * default) / 2 + 6)


def test_on_a_cluster_the_estimate_goes_by_the_clock(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """There all jobs are handed over at once, and wait."""
    watch = progress.Watch({"fit_": 10.0, "score_": 5.0}, cores=None)
    with watch.showing("test"):
        for line in ("job count", "fit_a 4", "score_a 2", "total 6", "rule fit_a:", "    jobid: 7"):
            watch.read(line)
        clock.now += 60
        watch.read("rule fit_a:")
        watch.read("    jobid: 8")
        assert watch.seconds_left() == float("inf")
        watch.read("Finished jobid: 7 (Rule: fit_a)")
        assert watch.seconds_left() == pytest.approx(60 * (3 * 10 + 2 * 5) / 10)
    assert capsys.readouterr().out == "test: 1 of 6 steps, about 240 s left\n"

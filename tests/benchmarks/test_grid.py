import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import grid
from benchmarks import suite as suites
from infer.errors import BadInput

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
    monkeypatch.setattr(grid, "time", clock)
    return clock


def test_watch_counts_done_and_failed_jobs(clock: Clock) -> None:
    watch = grid.Watch({"fit_": 10.0}, cores=2)
    with watch.showing("test"):
        for line in LINES:
            watch.read(line)
    assert watch.failed == [("fit_b", "logs/d.log")]
    assert dict(watch._done) == {"fit_a": 1, "score_a": 1}
    assert dict(watch._planned) == {"fit_a": 2, "fit_b": 1, "score_a": 1}
    assert watch.last == "At least one job did not complete successfully."


def test_watch_estimates_the_seconds_left(clock: Clock) -> None:
    watch = grid.Watch({"fit_": 10.0, "throughput": 3.0}, cores=2)
    stats = ["job count", "fit_a 2", "fit_b 1", "score_a 1", "throughput_score_a 1", "total 5"]
    with watch.showing("test"):
        for line in stats:
            watch.read(line)
        default = grid.DEFAULT_SECONDS
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


OWNER = """
import sys
from pathlib import Path
from benchmarks.grid import sole_owner
with sole_owner(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_until_the_owner_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "mine\n"
        with (
            pytest.raises(BadInput, match=rf"another run is at work there \(process {owner.pid}\)"),
            grid.sole_owner(tmp_path),
        ):
            pass
        owner.kill()
        assert owner.wait() == -signal.SIGKILL
    for _ in range(2):
        with grid.sole_owner(tmp_path):
            pass


def test_every_rule_of_the_snakefile_belongs_to_one_stage(tmp_path: Path) -> None:
    suite = suites.load("smoke")
    suite.save(tmp_path / "suite.json")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(grid.SNAKEFILE), "--directory", str(tmp_path)]
    done = subprocess.run([*command, "--list-rules"], capture_output=True, text=True, check=True, cwd=ROOT)
    rules = set(done.stdout.split()) - {"everything"}
    assert {"task", "fit_sideband", "export_cathode", "template_transit", "score_iad", "report"} <= rules
    assert rules <= set(grid._rules(suite))
    for rule in rules:
        assert sum(rule.startswith(starts) for starts in grid.STAGES.values()) == 1, rule


SNAKEFILE = """
rule everything:
    input: "good.txt", "bad.txt",
rule fit_good:
    output: "good.txt",
    log: "logs/good.log",
    shell: "echo good > {output} 2> {log}"
rule fit_bad:
    output: "bad.txt",
    log: "logs/bad.log",
    shell: "echo half > {output}; echo 'error: no luck' > {log}; test -e permitted"
"""


def test_a_failed_step_is_told_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.setattr(grid, "SNAKEFILE", tmp_path / "Snakefile")
    assert not grid._snakemake(suites.load("smoke"), tmp_path, None, 1)
    assert f"fit_bad: error: no luck  (log: {tmp_path}/logs/bad.log)" in capfd.readouterr().err
    assert (tmp_path / "good.txt").exists()
    assert not (tmp_path / "bad.txt").exists()
    (tmp_path / "permitted").touch()
    assert grid._snakemake(suites.load("smoke"), tmp_path, None, 1)
    assert (tmp_path / "bad.txt").exists()


@pytest.mark.parametrize("told", ["error: unknown setting 'x'\n", "Traceback\nerror: unknown setting 'x'\n"])
def test_what_another_stage_refuses_is_handed_on(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    def refuse(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess("train", 2, "", told)

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(BadInput, match=r"^unknown setting 'x'$"):
        grid._call("train", "check", "suite.json")


def test_run_goes_through_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, ...]] = []

    def called(package: str, *arguments: str) -> None:
        calls.append((package, arguments[0]))

    def planned(suite: suites.Suite, folder: Path, stage: str | None, cores: int) -> bool:
        calls.append(("snakemake", stage or "all", str(cores)))
        assert suites.load(folder / "suite.json") == suite
        return stage != "export"

    def recorded(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        calls.append(("record",))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(grid, "_call", called)
    monkeypatch.setattr(grid, "_snakemake", planned)
    monkeypatch.setattr(subprocess, "run", recorded)
    assert grid.run("smoke", tmp_path, number=3)[1]
    assert calls == [("train", "check"), ("train", "migrate"), ("snakemake", "all", "3"), ("record",)]
    calls.clear()
    assert not grid.run("smoke", tmp_path, "export", 1)[1]
    assert calls == [("snakemake", "export", "1")]

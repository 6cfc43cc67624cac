import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from sideband.benchmarks.grid import run as grid
from sideband.benchmarks.grid import suite as suites
from sideband.infer import process
from sideband.infer.errors import BadInput
from tests.conftest import OWN

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
from sideband.benchmarks.grid import sole_owner
with sole_owner(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""
STEP = """
import sys
from sideband.infer.process import step_of_a_run
with step_of_a_run():
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("code", "said"), [(OWNER, "another run is"), (STEP, "steps of an earlier run are still")])
def test_a_second_run_is_refused_until_owner_and_steps_are_dead(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / ".steps").mkdir()
    environment = os.environ | {process.RUN: str(tmp_path / ".steps")} if code == STEP else os.environ
    command, pipe = [sys.executable, "-c", code, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environment) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "mine\n"
        line = rf"{said} at work there \(process {first.pid}\); wait for that, or end it: kill {first.pid}$"
        with pytest.raises(BadInput, match=line), grid.sole_owner(tmp_path):
            pass
        first.kill()
        assert first.wait() == -signal.SIGKILL
    for _ in range(2):
        with grid.sole_owner(tmp_path):
            pass


def test_whoever_is_handed_the_lock_holds_it_too(tmp_path: Path) -> None:
    with grid.sole_owner(tmp_path) as owner:
        heir = subprocess.Popen(["sleep", "60"], pass_fds=[owner.fileno()])
        grid._sign(owner, heir.pid)
    with heir:
        with pytest.raises(BadInput, match=rf"at work there \(processes {os.getpid()}, {heir.pid}\)"):
            grid.sole_owner(tmp_path).__enter__()
        heir.kill()
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
    input: "good.txt", "bad.txt", "killed.txt",
rule fit_good:
    output: "good.txt",
    log: "logs/good.log",
    shell: "echo good > {output} 2> {log}"
rule fit_bad:
    output: "bad.txt",
    log: "logs/bad.log",
    shell: "echo half > {output}; echo 'error: no luck' > {log}; test -e permitted"
rule fit_killed:
    output: "killed.txt",
    log: "logs/killed.log",
    shell: "(echo half > {output}; test -e permitted || kill -9 $BASHPID) > {log} 2>&1"
"""


def test_a_failed_step_is_told_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.setattr(grid, "SNAKEFILE", tmp_path / "Snakefile")
    with grid.sole_owner(tmp_path) as owner:
        assert not grid._snakemake(suites.load("smoke"), tmp_path, None, 2, owner)
        assert sorted(capfd.readouterr().err.splitlines()) == [
            f"fit_bad: error: no luck  (log: {tmp_path}/logs/bad.log)",
            f"fit_killed: ended by SIGKILL; the same command goes on from there  (log: {tmp_path}/logs/killed.log)",
        ]
        assert (tmp_path / "good.txt").exists()
        assert not (tmp_path / "bad.txt").exists()
        (tmp_path / "permitted").touch()
        assert grid._snakemake(suites.load("smoke"), tmp_path, None, 2, owner)
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

    def planned(suite: suites.Suite, folder: Path, stage: str | None, cores: int, owner: object) -> bool:
        calls.append(("snakemake", stage or "all", str(cores)))
        assert suites.load(folder / "suite.json") == suite
        assert os.environ[process.RUN] == str(folder / ".steps")
        return stage != "export"

    def recorded(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        calls.append(("record",))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(grid, "_call", called)
    monkeypatch.setattr(grid, "_snakemake", planned)
    monkeypatch.setattr(subprocess, "run", recorded)
    assert grid.run("smoke", tmp_path, number=3)[1]
    assert calls == [("train", "check"), ("benchmarks", "migrate"), ("snakemake", "all", "3"), ("record",)]
    calls.clear()
    assert not grid.run("smoke", tmp_path, "export", 1)[1]
    assert calls == [("snakemake", "export", "1")]


# Whose folder it is

OWN_SUITE: dict[str, Any] = {
    "about": "own events",
    "dataset": OWN,
    "mass_range": [2000, 6000],
    "windows": [[3300, 3700]],
    "seeds": [1, 2],
    "methods": {"cathode": {}, "cwola": {}},
}
Write = Callable[..., Path]


@pytest.fixture
def own(tmp_path: Path, toy_events: Callable[..., Path]) -> Write:
    """Writes a suite of own events; `place` is its folder."""

    def write(place: str = "here", **changes: Any) -> Path:
        folder = tmp_path / place
        folder.mkdir(exist_ok=True)
        toy_events(folder / "own.h5", 2000)
        (folder / "mine.yaml").write_text(yaml.safe_dump(OWN_SUITE | changes))
        return folder / "mine.yaml"

    return write


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs; none of them starts a process."""
    monkeypatch.setattr(grid, "_call", lambda *arguments: None)
    monkeypatch.setattr(grid, "_snakemake", lambda *arguments: True)
    return tmp_path / "runs"


def finish(folder: Path) -> dict[str, bytes]:
    """Put files where the grid of `OWN_SUITE` has them; returns all there are."""
    for name in (
        "3300-3700/control.json",
        *(f"3300-3700/observed/s{seed}/{name}" for seed in (1, 2) for name in ("task.h5", "cathode/model.pt")),
        "checkpoints/3300-3700/observed/s2/sideband/x.pt",
        "logs/3300-3700_observed_s1_fit_cathode.log",
        "logs/3300-3700_observed_s2_fit_cathode.log",
        "logs/3300-3700_control.log",
        "report/index.html",
        "graphs/x.onnx",
        "notes/n3/mine.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".owner"
    }


def test_a_run_goes_on_wherever_suite_and_data_have_moved(runs: Path, own: Write) -> None:
    grid.run(str(own()), runs, "export")
    before = finish(runs / "mine")
    grid.run(str(own("there")), runs, "export")
    after = files(runs / "mine")
    assert {name for name in before if after[name] != before[name]} == {"suite.json"}
    assert suites.load(runs / "mine" / "suite.json").file.endswith("there/mine.yaml")


def test_the_folder_of_another_suite_is_refused_or_taken(runs: Path, own: Write) -> None:
    first, second = own(), own("there", seeds=[2, 3], closure_events=200)
    grid.run(str(first), runs, "export")
    before = finish(runs / "mine")
    with pytest.raises(BadInput) as refused:
        grid.run(str(second), runs, "export")
    assert str(refused.value) == (
        f"{runs / 'mine'}: belongs to {first}, and {second} differs from that in seeds, closure_events; "
        "`--runs OTHER` puts the results elsewhere, `--fresh` takes this folder for the suite at hand"
    )
    with pytest.raises(BadInput, match=rf"belongs to {first}, as it was before its seeds changed; `--runs"):
        grid.run(str(own(seeds=[2])), runs, "export")
    assert files(runs / "mine") == before
    grid.run(str(second), runs, "export", fresh=True)
    gone = {name for name in before if "/s1/" in name or "_s1_" in name} | {"report/index.html"}
    assert set(files(runs / "mine")) == set(before) - gone
    (runs / "mine" / "report").mkdir()
    (runs / "mine" / "report" / "index.html").touch()
    grid.run(str(second), runs, "infer", fresh=True)  # as each stage of Docker Compose does
    assert set(files(runs / "mine")) == set(before) - gone | {"report/index.html"}


def test_windows_of_another_suite_go_without_a_trace(runs: Path, own: Write) -> None:
    grid.run(str(own()), runs, "export")
    finish(runs / "mine")
    grid.run(str(own(windows=[[3400, 3600]])), runs, "export", fresh=True)
    assert set(files(runs / "mine")) == {"suite.json", "graphs/x.onnx", "notes/n3/mine.txt"}
    assert not (runs / "mine" / "3300-3700").exists()


@pytest.mark.parametrize("held", ["suite.json", "report/index.html"])
def test_a_folder_of_nobody_knows_whom_is_refused_or_taken(runs: Path, own: Write, held: str) -> None:
    path = runs / "mine" / held
    path.parent.mkdir(parents=True)
    path.write_text("{")
    for _ in range(2):
        with pytest.raises(BadInput, match="`--runs OTHER` puts the results elsewhere, `--fresh` takes this folder"):
            grid.run(str(own()), runs, "export")
    assert files(runs / "mine") == {held: b"{"}
    assert not (runs / "mine" / ".owner").exists()
    grid.run(str(own()), runs, "export", fresh=True)
    assert set(files(runs / "mine")) == {"suite.json"}


def test_a_suite_that_ships_may_change(runs: Path, own: Write, capfd: pytest.CaptureFixture[str]) -> None:
    grid.run("smoke", runs, "export")
    kept = runs / "smoke" / "suite.json"
    before = kept.read_bytes()
    told = json.loads(before)
    told["resolved"]["closure_events"] = 12345
    kept.write_text(json.dumps(told))
    assert capfd.readouterr().out == ""
    grid.run("smoke", runs, "export")
    assert capfd.readouterr().out.startswith("smoke: closure_events changed since the last run; ")
    assert kept.read_bytes() == before
    mine = own().rename(runs.parent / "here" / "smoke.yaml")
    with pytest.raises(BadInput, match=r"smoke: belongs to smoke, and .*smoke\.yaml differs from that in shared, "):
        grid.run(str(mine), runs, "export")


def test_what_is_refused_has_written_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: Path, own: Write
) -> None:
    def refuse(package: str, verb: str, suite: str) -> None:
        assert (package, verb) == ("train", "check")
        assert not Path(suite).is_relative_to(tmp_path / "runs")
        assert "nope" in suites.load(suite)["classifier"]
        raise BadInput("unknown setting 'nope'")

    grid.run(str(own()), runs, "train")
    before = files(runs / "mine")
    with monkeypatch.context() as patch:
        patch.setattr(grid, "_call", refuse)
        for place, fresh in ((runs, True), (tmp_path / "none", False)):
            with pytest.raises(BadInput, match="unknown setting 'nope'"):
                grid.run(str(own(classifier={"nope": 3})), place, "train", fresh=fresh)
    assert files(runs / "mine") == before
    with pytest.raises(BadInput, match="no column 'absent'"):
        grid.run(str(own(dataset=OWN | {"features": ["absent"]})), tmp_path / "none", "train")
    assert not (tmp_path / "none").exists()


# Signals

WAITING = """
rule export:
    input: "a.txt", "b.txt",
rule export_cathode:
    output: "a.txt",
    shell: "trap '' TERM; sleep 300; sleep 300"
rule export_sigma:
    output: "b.txt",
    shell: "sleep 300"
"""
COMMAND = """
import sys
from pathlib import Path
from sideband.benchmarks import grid
from sideband.benchmarks.__main__ import main
from sideband.infer.errors import guarded
grid.SNAKEFILE, grid.GRACE = Path(sys.argv.pop(1)), 1.5
guarded(main)
"""


def test_a_signal_ends_all_processes_and_then_the_run(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(WAITING)
    line = [sys.executable, "-c", COMMAND, tmp_path / "Snakefile", "run", "smoke", "--stage", "export", "--cores", "2"]
    run = subprocess.Popen([*line, "--runs", tmp_path], stderr=subprocess.PIPE, text=True, cwd=ROOT)
    with run:
        parent = psutil.Process(run.pid)
        while len(found := parent.children(recursive=True)) < 4:  # Snakemake, a shell, and what that and another run
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert run.stderr is not None
        assert run.stderr.read() == (
            "interrupted by SIGTERM: 2 steps at work ended; what was finished is kept; the same command goes on "
            "from there\n"
        )
        assert run.wait() == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 10
    assert not [each for each in found if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_the_mark_of_another_run_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: Path, own: Write
) -> None:
    (runs / "mine" / ".steps").mkdir(parents=True)
    monkeypatch.setenv(process.RUN, str(runs / "mine" / ".steps"))
    with process.step_of_a_run():  # as a run that is started by one of its own steps
        grid.run(str(own()), runs, "export")
        assert os.environ[process.RUN] == str(runs / "mine" / ".steps")
    monkeypatch.delenv(process.RUN)
    grid.run(str(own()), runs, "export")
    assert process.RUN not in os.environ


def test_compose_hands_fresh_on_to_every_stage() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for stage in grid.STAGES:
        assert services[stage]["command"] == (
            f"python -m benchmarks run '${{SUITE:-quick}}' --stage {stage} ${{FRESH:+--fresh}}"
        )

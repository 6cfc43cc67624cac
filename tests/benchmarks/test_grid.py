import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sideband.benchmarks.grid import owner, steps
from sideband.benchmarks.grid import run as grid
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.piece import Piece
from sideband.benchmarks.grid.warm import PACKAGES
from sideband.benchmarks.grid.workflow import Workflow, call
from sideband.infer import process
from sideband.infer.errors import BadInput
from tests import compose
from tests.benchmarks.plain import written

ROOT = Path(__file__).parents[2]


def test_every_rule_of_the_snakefile_belongs_to_one_stage(tmp_path: Path) -> None:
    suite = suites.load("smoke")
    suite.save(tmp_path / "suite.json")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(grid.SNAKEFILE), "--directory", str(tmp_path)]
    done = subprocess.run([*command, "--list-rules"], capture_output=True, text=True, check=True, cwd=ROOT)
    rules = set(done.stdout.split()) - {"everything"}
    assert {"task", "fit_sideband", "export_cathode", "template_transit", "score_iad", "report"} <= rules
    assert rules <= set(steps.rules(suite))
    stages = [set(steps.rules(suite, stage)) for stage in steps.STAGES]
    for rule in rules:
        assert sum(rule in stage for stage in stages) == 1, rule
    assert {rule for rule in rules if steps.is_alone(rule)} == {
        rule for rule in rules if rule.startswith(("throughput_", "compare_", "report"))
    }


def test_what_stands_on_other_cells_waits_for_them(tmp_path: Path) -> None:
    methods = {"cathode": {}, "cwola": {}, "refined": {"of": "cathode"}, "mixed": {"of": ["cathode", "refined"]}}
    methods["combined"] = {"of": ["cathode@mlp", "refined@mlp"]}
    suite = suites.load(written(tmp_path / "mine.yaml", methods=methods, classifiers={"mlp": {"kind": "mlp"}}))
    suite.save(tmp_path / "suite.json")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(grid.SNAKEFILE), "--directory", str(tmp_path)]
    command += ["--dry-run", "--printshellcmds", "--nocolor"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    text = done.stdout + done.stderr
    cell = "3.3-3.7/n0/s1"
    assert f"fit refined --suite suite.json --task {cell}/task.h5 --out {cell}/refined" in text
    assert f"--needs cathode={cell}/cathode/model.pt" in text
    assert f"--needs cathode={cell}/cathode/model.pt refined={cell}/refined/model.pt" in text
    assert f"--needs cathode@mlp={cell}/cathode@mlp/model.pt refined@mlp={cell}/refined@mlp/model.pt" in text
    for name in ("cathode", "cwola", "refined", "mixed"):
        assert f"--out {cell}/{name}@mlp --needs  --base {cell}/{name}/model.pt" in text


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


def test_a_failed_step_is_told_and_run_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    with owner.sole_owner(tmp_path) as lock:
        assert not Workflow(tmp_path / "Snakefile", tmp_path, "", number=2).run(lock)
        assert sorted(capfd.readouterr().err.splitlines()) == [
            f"fit_bad: error: no luck  (log: {tmp_path}/logs/bad.log)",
            f"fit_killed: ended by SIGKILL; the same command goes on from there  (log: {tmp_path}/logs/killed.log)",
        ]
        assert (tmp_path / "good.txt").exists()
        assert not (tmp_path / "bad.txt").exists()
        (tmp_path / "permitted").touch()
        assert Workflow(tmp_path / "Snakefile", tmp_path, "", number=2).run(lock)
        assert (tmp_path / "bad.txt").exists()


@pytest.mark.parametrize("told", ["error: unknown setting 'x'\n", "Traceback\nerror: unknown setting 'x'\n"])
def test_what_another_stage_refuses_is_handed_on(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    def refuse(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess("train", 2, "", told)

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(BadInput, match=r"^unknown setting 'x'$"):
        call("train", "check", "suite.json")


def test_run_goes_through_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, ...]] = []

    def called(package: str, *arguments: str) -> None:
        calls.append((package, arguments[0]))

    def planned(workflow: Workflow, owner: object) -> bool:
        stage = workflow.options[-1] if workflow.options else "all"
        calls.append(("snakemake", stage, str(workflow.number)))
        assert suites.load(workflow.folder / "suite.json") == suites.load("smoke")
        assert os.environ[process.RUN] == str(workflow.folder / ".steps")
        return stage != "export"

    def recorded(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        calls.append(("record",))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(grid, "call", called)
    monkeypatch.setattr(Workflow, "run", planned)
    monkeypatch.setattr(subprocess, "run", recorded)
    assert grid.run("smoke", tmp_path, number=3)[1]
    assert calls == [("train", "check"), ("benchmarks", "migrate"), ("snakemake", "all", "3"), ("record",)]
    calls.clear()
    assert not grid.run("smoke", tmp_path, "export", 1)[1]
    assert calls == [("snakemake", "export", "1")]


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
from sideband.benchmarks.grid import processes, run
from sideband.benchmarks.__main__ import main
from sideband.infer.errors import guarded
run.SNAKEFILE, processes.GRACE = Path(sys.argv.pop(1)), 1.5
guarded(main)
"""


def test_a_signal_ends_all_processes_and_then_the_run(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(WAITING)
    line = [sys.executable, "-c", COMMAND, tmp_path / "Snakefile", "run", "smoke", "--stage", "export", "--cores", "2"]
    run = subprocess.Popen([*line, "--runs", tmp_path], stderr=subprocess.PIPE, text=True, cwd=ROOT)
    with run:
        parent = psutil.Process(run.pid)
        # Snakemake, a shell, what that and another run, and the warm processes.
        while len(found := parent.children(recursive=True)) < 4 + len(PACKAGES):
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


def test_compose_hands_fresh_on_to_every_stage() -> None:
    for stage in steps.STAGES:
        assert compose.services()[stage]["command"] == (
            f"python -m benchmarks run '${{SUITE:-quick}}' --stage {stage} ${{FRESH:+--fresh}}"
        )


def test_what_much_stands_on_begins_early() -> None:
    suite = suites.load("quick")
    spent = steps.seconds_to_come(suite)
    fits = {name: steps.seconds(steps.rule("fit", name), suite["budget"]) for name in spent}
    assert spent["supervised"] == fits["supervised"]
    assert spent["sigma"] == fits["sigma"] + max(fits["mixed"], fits["combined"])
    assert spent["matching"] == fits["matching"] + spent["sigma"]
    assert spent["sideband"] == fits["sideband"] + spent["curtainsf4f"]


def test_of_one_method_one_export_is_made_at_a_time(tmp_path: Path) -> None:
    """The later one finds the graph that the earlier one has traced; two at a time would trace it twice."""
    suite = suites.load(written(tmp_path / "mine.yaml", methods={"cathode": {}, "cwola": {}}, seeds=[1, 2]))
    suite.save(tmp_path / "suite.json")
    command = grid._workflow(suite, tmp_path, None, 8, Piece(), None).command()
    assert {"trace0=1", "trace1=1"} <= set(command)
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
    jobs = (done.stdout + done.stderr).split("rule export_")[1:]
    asked = {job.split(":")[0]: set(re.findall(r"trace\d=1", job.split("\n\n")[0])) for job in jobs}
    assert asked == {"cathode": {"trace0=1"}, "cwola": {"trace1=1"}}

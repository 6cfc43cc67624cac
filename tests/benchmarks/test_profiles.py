"""Profiles hand the grid to a cluster: each is known to Snakemake, and mistakes are told in one line."""

import importlib.util
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake_interface_executor_plugins.settings import CommonSettings

from sideband.benchmarks.grid import processes, profile, progress
from sideband.benchmarks.grid import run as grid
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.grid.piece import Piece
from sideband.infer.errors import BadInput
from tests.conftest import Outcome

Command = Callable[..., Outcome]


SLURM = """\
[Fri Nov 27 21:45:06 2026]
Error in rule {rule}:
    message: {message}
    jobid: {number}
    output: 3.3-3.7/n300/s1/task.h5
    log: logs/{rule}.log, .snakemake/slurm_logs/{number}.log (check log file(s) for error details)
    shell:
        python -m sideband.benchmarks task
"""
REFUSED = """SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: nowhere
sbatch: error: Batch job submission failed: Invalid partition name specified'."""
STOPPED = "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. Detailed failure reason unavailable."
FAILED = STOPPED.replace("TIMEOUT", "FAILED")


@pytest.mark.parametrize("name", ["slurm", "htcondor", "kubernetes"])
def test_a_profile_goes_through_the_whole_grid(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(f"snakemake_executor_plugin_{name}") is None:
        pytest.skip(f"needs pip install '.[{name}]'")
    suite = suites.load("smoke")
    suite.save(tmp_path / "suite.json")
    piece = Piece(methods=["cwola"])
    folder = profile.folder(name)
    command = [*grid._workflow(suite, tmp_path, None, None, piece, folder).command(), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=profile.environment(folder))
    assert done.returncode == 0, done.stderr
    assert "--cores" not in command
    said = done.stdout + done.stderr
    most = yaml.safe_load((folder / "config.yaml").read_text())["max-threads"]
    for rule in ("fit_cwola", "throughput_score_cwola", "report"):
        assert f"rule {rule}:" in said
    alone = said.split("rule throughput_score_cwola:")[1].split("\n\n")[0]
    assert f"threads: {most}" in alone  # all of a node, not all of the cluster


def test_every_profile_shipped_says_what_it_needs() -> None:
    names = [path.name for path in profile.PROFILES.iterdir()]
    assert sorted(names) == ["htcondor", "kubernetes", "slurm"]
    for name in names:
        content = yaml.safe_load((profile.folder(name) / "config.yaml").read_text())
        own = f"snakemake_executor_plugin_{content['executor'].replace('-', '_')}"
        assert content["executor"] == name or (profile.folder(name) / own / "__init__.py").is_file()
        assert {"jobs", "cores", "max-threads", "latency-wait"} <= set(content)


def test_a_profile_may_bring_an_executor_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for before, found in {"": str(tmp_path), "/elsewhere": f"{tmp_path}:/elsewhere"}.items():
        monkeypatch.setenv("PYTHONPATH", before)
        assert profile.environment(tmp_path)["PYTHONPATH"] == found
        assert profile.environment(None)["PYTHONPATH"] == before


def test_pods_share_a_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods start in the suite's folder, and Snakemake copies neither sources nor results to them."""
    apart = CommonSettings(non_local_exec=True, implies_no_shared_fs=True, job_deploy_sources=True)
    plugin = SimpleNamespace(Executor=object, ExecutorSettings=object, common_settings=apart)
    monkeypatch.setitem(sys.modules, "snakemake_executor_plugin_kubernetes", plugin)
    place = profile.folder("kubernetes") / "snakemake_executor_plugin_kubernetes_volume" / "__init__.py"
    found = runpy.run_path(str(place))
    settings = found["common_settings"]
    assert settings.non_local_exec
    assert not settings.implies_no_shared_fs
    assert not settings.job_deploy_sources
    executor = found["Executor"]()
    executor.workflow = SimpleNamespace(workdir_init="/runs/my suite")
    assert executor.get_job_exec_prefix(None) == "cd '/runs/my suite'"


def test_mistakes_in_a_profile_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no folder with a config.yaml, and none of htcondor, kubernetes, slurm"):
        profile.folder("nowhere")
    (tmp_path / "config.yaml").write_text("executor: slurm\n")
    assert profile.folder(str(tmp_path)) == tmp_path
    for text, said in {"{": "not YAML", "slurm": "names no options", "": "names no options"}.items():
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(BadInput, match=said):
            profile.folder(str(tmp_path))


def read(*messages: str) -> progress.Watch:
    watch = progress.Watch({}, cores=2)
    with watch.showing("test"):
        for number, message in enumerate(messages):
            for line in SLURM.format(rule=f"fit_{number}", message=message, number=number).splitlines():
                watch.read(line)
    return watch


def test_what_slurm_ends_is_told_from_what_fails() -> None:
    watch = read(STOPPED, FAILED)
    assert watch.failed == [("fit_0", "logs/fit_0.log"), ("fit_1", "logs/fit_1.log")]
    assert watch.signals == {"logs/fit_0.log": "TIMEOUT"}
    assert not watch.refused


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (REFUSED, "sbatch: error: invalid partition specified: nowhere"),
        ("Job submission failed with exception: The given account x appears to be invalid. Available", "The given"),
    ],
)
def test_a_cluster_that_takes_no_job_is_told_from_jobs_that_fail(message: str, told: str) -> None:
    assert read(message).refused.startswith(told)


def test_the_command_line_takes_a_profile(command: Command, tmp_path: Path) -> None:
    line = command("benchmarks", "run", "smoke", "--profile", "nowhere", "--runs", tmp_path / "runs").refused()
    assert line.startswith("error: --profile nowhere: no folder with a config.yaml")
    assert not (tmp_path / "runs").exists()


def test_a_profile_decides_about_cores_and_gpus_unless_cores_are_given(tmp_path: Path) -> None:
    suite = suites.load("smoke", device="cuda")
    for number, cluster in ((None, tmp_path), (3, tmp_path), (3, None)):
        words = grid._workflow(suite, tmp_path, None, number, Piece(), cluster).command()
        assert ("--cores" in words) == (number is not None)
        assert ("gpu=1" in words) == (cluster is None)
        assert ("--profile" in words) == (cluster is not None)


WAITS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells take from what they start in the background
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    open(sys.argv[1], "w").close()
"""


def test_snakemake_is_asked_to_cancel_its_jobs(tmp_path: Path) -> None:
    place = tmp_path / "cancelled"
    with subprocess.Popen([sys.executable, "-c", WAITS, place], stdout=subprocess.PIPE, text=True) as snakemake:
        assert snakemake.stdout is not None
        assert snakemake.stdout.readline() == "ready\n"
        processes.cancelled(snakemake)
        assert snakemake.poll() == 0
    assert place.exists()

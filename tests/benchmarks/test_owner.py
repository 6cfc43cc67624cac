import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sideband.benchmarks.grid import owner
from sideband.infer import process
from sideband.infer.errors import BadInput

ROOT = Path(__file__).parents[2]

OWNER = """
import sys
from pathlib import Path
from sideband.benchmarks.grid.owner import sole_owner
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
        with pytest.raises(BadInput, match=line), owner.sole_owner(tmp_path):
            pass
        first.kill()
        assert first.wait() == -signal.SIGKILL
    for _ in range(2):
        with owner.sole_owner(tmp_path):
            pass


def test_whoever_is_handed_the_lock_holds_it_too(tmp_path: Path) -> None:
    with owner.sole_owner(tmp_path) as lock:
        heir = subprocess.Popen(["sleep", "60"], pass_fds=[lock.fileno()])
        owner.sign(lock, heir.pid)
    with heir:
        with pytest.raises(BadInput, match=rf"at work there \(processes {os.getpid()}, {heir.pid}\)"):
            owner.sole_owner(tmp_path).__enter__()
        heir.kill()
    with owner.sole_owner(tmp_path):
        pass

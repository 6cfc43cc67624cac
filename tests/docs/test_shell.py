"""The commands in the pages are run, in the order of each page, with smaller fits and fewer events.

What is not run needs something that a test has not: a network, a cluster, a GPU, Docker, or leave to install packages.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import uproot
import yaml

from tests.docs.pages import DOCS, PAGES, ROOT, blocks, name

INSTALLS, DOCKER = "installs packages", "needs Docker; .ci/containers runs it"
CLUSTER = "needs a cluster; tests/benchmarks/test_profiles.py plans it"
LANGUAGES = "is run by tests/docs/test_deploy.py where its tools are there"
NOT_RUN = {  # by what a line begins with
    **dict.fromkeys(("make", "pip install", "pre-commit", "npm install", "apt-get install"), INSTALLS),
    **dict.fromkeys(("docker compose", "apptainer"), DOCKER),
    ".ci/": "installs packages, or needs root",
    "python -m pytest": "runs these very tests",
    **dict.fromkeys(("python -m benchmarks run quick --profile", "python -m benchmarks produce --profile"), CLUSTER),
    **dict.fromkeys(("cmake", "node", "python -m http.server", "docs/deploy/cpp/build/sideband_score"), LANGUAGES),
    **dict.fromkeys((f"python docs/deploy/check.py score.onnx {each}" for each in ("docs", "node")), LANGUAGES),
    "python -m benchmarks peers": "needs the extra `peers`; tests/benchmarks/test_peers.py runs its parts",
    "python -m benchmarks growth": "takes an hour; tests/benchmarks/test_growth.py runs its parts",
    "python -m benchmarks download": "needs a network; tests/benchmarks/test_download.py has a server for it",
    "python -m benchmarks run paper": "needs a GPU",
    "python -m benchmarks run smoke": "is run by tests/line/test_smoke.py, and a sample by test_sample.py",
    "python -m benchmarks run calorimeter": "is run small, as smoke_showers, by .ci/containers",
    "python -m benchmarks generate embedded": "takes an hour; tests/benchmarks/dijets/test_run.py makes a small set",
}
SERVERS = ("mlflow ui", "mlflow models serve")  # which work until they are ended
PORT = re.compile(r"(?<=--port )\d+|(?<=127\.0\.0\.1:)\d+")
SMALLER = [
    (r"(?<!\S)(run|task|check|--suite) (quick|field)\b", r"\1 \2.yaml"),
    (r"--cores 8 --runs /scratch/runs", "--cores 2"),
    (r"--seeds 1 2", "--seeds 1"),
    (r"--events \d+", "--events 20"),
    (r"(benchmarks (generate \w+|showers)\b)(?!.*--events)", r"\1 --events 20"),
    (r"(?<=[1-9])000(?=0*\b)", ""),  # a thousandth of what numbers of template events are
    (r"(infer throughput|export compare) .*", r"\g<0> --seconds 0.01 --repeats 3 --batches 1000"),
]

FIT: dict[str, Any] = {"steps": 20, "interval": 10, "batch": 512, "ema": 0.9}
FLOW = {"couplings": 1, "hidden": 8, "layers": 1}
TINY: dict[str, Any] = {
    "classifier": {"members": 1, "iterations": 10, "bins": 31},
    "closure_events": 300,
    "shared": {"sideband": {"flow": FLOW, "training": FIT}},
    "throughput": {"roles": []},
}
QUICK: dict[str, Any] = {
    "about": "small",
    "dataset": {"source": "dijets"},
    "mass_range": [2.3, 5.0],
    "windows": [[3.3, 3.7]],
    "injections": [430],
    "seeds": [1],
    "data_events": 12_000,
    **TINY,
    "methods": {"cathode": {}, "ranode": {"flow": FLOW, "members": 2, "restarts": 0, "training": FIT}},
}
FIELD = {**QUICK, "methods": {"cathode": {}, "iad": {}}}


def search() -> dict[str, Any]:
    """The suite of the page on own events, with fits that take seconds, and without TRANSIT's."""
    (first, *_) = blocks(DOCS / "events.md", "yaml")
    found: dict[str, Any] = yaml.safe_load(first.text)
    assert found.pop("preset") == "quick"
    return {**found, **TINY, "methods": {"cathode": {}, "cwola": {}}, "excess": {**found["excess"], "folds": 2}}


def events() -> dict[str, np.ndarray[Any, Any]]:
    """What the suite reads."""
    random = np.random.default_rng(1)
    mass = 200 + random.exponential(150, 8_000)
    columns = {"met": random.gamma(2, 40, 8_000), "ht": mass + random.normal(0, 30, 8_000)}
    return {"m_vis": mass, **columns, "n_sub": random.poisson(3, 8_000).astype(float)}


class Shell:
    """A folder, as if it were the checkout, and the commands given in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._port = folder, 0
        self._given: set[str] = set()
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "bin").mkdir()
        for program, starts in (("python", ""), ("sideband", " -m sideband")):
            path = folder / "bin" / program
            path.write_text(f'#!/bin/sh\nexec {sys.executable}{starts} "$@"\n')
            path.chmod(0o755)
        path = os.pathsep.join((str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]))
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1"}
        self.environment = {**os.environ, **own}

    def give(self, line: str) -> None:
        """Give a line, once if nothing differs; it must end well, or serve."""
        line = line.split("  #")[0].replace(".venv/bin/", "").strip()
        for pattern, smaller in SMALLER:
            line = re.sub(pattern, smaller, line)
        if line in self._given:
            return
        self._given.add(line)
        if line.startswith("export "):
            key, _, value = line.removeprefix("export ").partition("=")
            self.environment[key] = value
        elif line.startswith(SERVERS):
            self._serve(line if "--port" in line else f"{line} --port 5000")
        else:
            if line.startswith("curl "):
                line = PORT.sub(str(self._port), line.replace("curl ", "curl --fail --silent --show-error "))
            done = self._begun(line, subprocess.PIPE)
            told, mistakes = done.communicate()
            assert done.returncode == 0, f"{line}\n{told.decode()}\n{mistakes.decode()}"

    def _begun(self, line: str, to: Any) -> subprocess.Popen[bytes]:
        given: dict[str, Any] = {"cwd": self.folder, "env": self.environment, "stdout": to, "stderr": to}
        return subprocess.Popen(["bash", "-c", line], start_new_session=to is not subprocess.PIPE, **given)

    def _serve(self, line: str) -> None:
        """Begin what serves, and wait until it answers."""
        self.end()
        self._port = _free_port()
        log = self.folder / "server.log"
        with log.open("wb") as file:
            self._server = self._begun(f"exec {PORT.sub(str(self._port), line)}", file)
        limit = time.monotonic() + 120
        while not _answers(self._port):
            assert self._server.poll() is None, f"{line}: has ended\n{log.read_text()}"
            assert time.monotonic() < limit, f"{line}: does not answer\n{log.read_text()}"
            time.sleep(0.2)

    def end(self) -> None:
        """End what serves."""
        if self._server is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGTERM)
            self._server.wait(30)
            self._server = None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A folder with events, suites, and runs of two of them."""
    folder = tmp_path_factory.mktemp("shell")
    suites = {"quick": QUICK, "field": FIELD, "search": search()}
    for stem, content in suites.items():
        (folder / f"{stem}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with h5py.File(folder / "events.h5", "w") as file:
        for column, values in events().items():
            file[column] = values
    with uproot.recreate(folder / "events.root") as file:
        file.mktree("Events", {column: values.dtype for column, values in events().items()}).extend(events())
    (folder / "docs").symlink_to(DOCS)
    (folder / "data" / "mine").mkdir(parents=True)
    (folder / "data" / "sample").symlink_to("mine")  # as many events of one seed: made once
    (folder / "here").mkdir()
    (folder / "there").symlink_to("here")  # where the second piece finds its work done
    shell = Shell(folder)
    shell.give("python -m benchmarks run quick")
    shell.give("python -m benchmarks run search.yaml")
    place = folder / "runs" / "quick" / "3.3-3.7" / "n430" / "s1"
    for file in (*place.glob("cathode/*.onnx"), *place.glob("cathode/*.npz"), place / "ranode" / "signal.onnx"):
        shutil.copy(file, folder)
    shutil.copy(place / "task.h5", folder)
    with h5py.File(folder / "task.h5") as file:
        names = list(file.attrs["features"])
        table = np.stack([file["test"][each][:100] for each in names], 1)
    np.savetxt(folder / "events.csv", table, delimiter=",", header=",".join(names), comments="")
    yield shell
    shell.end()


def lines(page: Path) -> list[str]:
    """The lines of a page's shell blocks, less those of scripts."""
    return [line for block in blocks(page, "sh") for line in block.text.splitlines() if line.strip()]


def reason(line: str) -> str:
    """Why a line is not run; "" where it is."""
    line = line.replace(".venv/bin/", "")
    line = re.sub(r"^(\w+=\S+ )+", "", line)
    return next((why for begins, why in NOT_RUN.items() if line.startswith(begins)), "")


RUN = [page for page in PAGES if any(not reason(line) for line in lines(page))]


@pytest.mark.skipif("SIDEBAND_SHELL" not in os.environ, reason="takes minutes; .ci/run sets SIDEBAND_SHELL=1 for it")
@pytest.mark.parametrize("page", RUN, ids=name)
def test_commands_run(page: Path, shell: Shell) -> None:
    for line in lines(page):
        if not reason(line) and (not line.startswith("curl ") or shutil.which("curl")):
            shell.give(line)
    shell.end()
    shell.environment["MLFLOW_TRACKING_URI"] = ""  # which a page may have set


def test_every_reason_is_needed() -> None:
    given = [line.replace(".venv/bin/", "") for page in PAGES for line in lines(page)]
    bare = [re.sub(r"^(\w+=\S+ )+", "", line) for line in given]
    assert [begins for begins in NOT_RUN if not any(line.startswith(begins) for line in bare)] == []


def test_every_block_is_of_a_language_that_a_test_runs() -> None:
    """But for an image that needs Docker, and a line of a framework's own C++."""
    found = {page: re.findall(r"^ *```(\w+)$", page.read_text(), re.MULTILINE) for page in PAGES}
    known = {"sh", "python", "pycon", "yaml"}
    others = {(name(page), each) for page, languages in found.items() for each in languages if each not in known}
    assert others == {
        ("docs/clusters.md", "dockerfile"),
        ("docs/deploy/index.md", "cpp"),
    }

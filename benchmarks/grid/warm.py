"""Steps that start warm: one process a package imports the libraries once, and forks for each step.

Importing torch, onnx and scikit-learn takes longer than many a step. `ask.py` asks such a process for one step; the
step writes where the asking process would, and ends with its exit status. Snakemake's own command line knows no warm
processes, and starts every step as a command of its own.
"""

import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sideband.benchmarks.grid import ask
from sideband.infer.errors import guarded

PACKAGES = ("train", "export", "infer", "benchmarks")
WAITING = 64  # requests, while the libraries are imported


@contextmanager
def kept_warm() -> Iterator[Path | None]:
    """Keep a warm process a package while the block runs; each ends with this process, however this one ends.

    Yields:
        A folder with a socket for each package, by its name. None outside Linux, where a fork of a process with these
        libraries may crash.
    """
    if sys.platform != "linux":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sideband-") as place, ExitStack() as living:
        for package in PACKAGES:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(f"{place}/{package}")
                listener.listen(WAITING)
                number = listener.fileno()
                command = [sys.executable, "-m", "sideband.benchmarks.grid.warm", package, str(number)]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number])
                living.enter_context(process)  # closes its input and waits
        yield Path(place)


class Steps:
    """The steps of one package that are at work, and the connections of those who asked for them.

    Args:
        package: whose commands the steps are.
        listener: where requests arrive.
    """

    def __init__(self, package: str, listener: socket.socket) -> None:
        self._package, self._listener = package, listener
        self._asking: dict[int, socket.socket] = {}
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)

    def next(self) -> list[str]:
        """The arguments of the next step. Returns in the fork of each step alone."""
        default = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([sys.stdin, self._woken, self._listener, *self._asking.values()], [], [])
            if sys.stdin in ready:  # closed: the run has ended
                sys.exit()
            if self._woken in ready:
                self._woken.recv(4096)
                self._answer()
            for number, asking in list(self._asking.items()):
                if asking in ready:  # closed: nobody waits for the step any more
                    os.kill(number, signal.SIGTERM)
                    self._asking.pop(number).close()
            if self._listener in ready and (arguments := self._start()) is not None:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, default)
                return arguments

    def _start(self) -> list[str] | None:
        """Fork for a request: its arguments in the fork, None here."""
        asking, _ = self._listener.accept()
        request, streams, _, _ = socket.recv_fds(asking, ask.LONGEST, 2)
        if not request:  # whoever asked was killed before it could say for what
            asking.close()
            return None
        folder, *arguments = json.loads(request)
        _import_all(self._package)
        if number := os.fork():
            self._asking[number] = asking
        else:
            for each in (self._listener, self._woken, self._wake, asking, *self._asking.values()):
                each.close()
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), 0)
            for stream, place in zip(streams, (1, 2), strict=True):
                os.dup2(stream, place)
            # The old streams may have been files, which can seek; these may be pipes.
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (as Python opens them)
            sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
            os.chdir(folder)
        for stream in streams:
            os.close(stream)
        return None if number else arguments

    def _answer(self) -> None:
        """Tell those who asked how their steps have ended."""
        with suppress(ChildProcessError):  # none is left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                number, status = ended
                if asking := self._asking.pop(number, None):
                    with asking, suppress(OSError):  # it has gone
                        code = os.waitstatus_to_exitcode(status)
                        asking.send(bytes([code if code >= 0 else 128 - code]))


def _import_all(package: str) -> None:
    """Import what the commands of a package import. A library that is missing is missed by the step, in its log."""
    with suppress(ImportError):
        for module in importlib.import_module(f"sideband.{package}.__main__").HEAVY:
            importlib.import_module(module)


def main() -> None:
    """Run one step in each fork, as the command line would."""
    package, listener = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    sys.argv = [package, *Steps(package, listener).next()]
    guarded(importlib.import_module(f"sideband.{package}.__main__").main)


if __name__ == "__main__":
    main()

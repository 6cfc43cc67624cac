"""How this program was called, so that a hint names a command as its reader types it."""

import os
import re
import sys
from pathlib import Path

CALLED = "SIDEBAND_CALLED"  # how a run was called, for the hints of its steps
KNOWN = re.compile(r"(python -m )?sideband|python -m (sideband\.)?(infer|benchmarks|train|export)")


def program() -> str:
    """What was typed first: `sideband`, `python -m sideband`, `python -m benchmarks` and the like.

    A program that only imports us has typed none of them; it gets what works wherever it can import us.
    """
    if CALLED in os.environ:
        return os.environ[CALLED]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    typed = f"python -m {spec.parent}" if spec else Path(sys.argv[0]).name
    return typed if KNOWN.fullmatch(typed) else "python -m sideband.infer"


def called(package: str, command: str = "") -> str:
    """A command of a package, as the user would type it.

    >>> called("benchmarks", "run quick")
    'python -m sideband.benchmarks run quick'
    """
    start = program()
    if not start.endswith("sideband"):
        start = f"python -m {'sideband.' if '.' in start else ''}{package}"
    elif package != "benchmarks":  # whose commands `sideband` has at its top
        start = f"{start} {package}"
    return f"{start} {command}".rstrip()

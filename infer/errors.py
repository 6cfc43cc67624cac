"""Bad input, failed checks and signals: one clear line and an exit status, never a traceback."""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from . import process

OURS = ("sideband", "api", "benchmarks", "export", "infer", "train")
GOES_ON = "what was finished is kept; the same command goes on from there"


class BadInput(Exception):
    """An input cannot be used; the message says what is wrong, where, and what to do."""


class GateFailed(Exception):
    """A result failed a check that it must pass; nothing that looks finished is left behind."""


def in_one_line(error: BaseException) -> str:
    """The message of a foreign exception, short and on one line; its type if it has no message."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def guarded(main: Callable[[], int | None]) -> NoReturn:
    """Run the `main` of a command, and turn whatever stops it into one line on stderr and an exit status.

    The status is 2 for `BadInput`, a library that is not installed, a refusal by the operating system or a lack of
    memory, 1 for `GateFailed`, and 128 plus its number for a signal. Anything else is a bug of ours and keeps its
    traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names of files may not be text
    try:
        with process.step_of_a_run(), process.interrupted_by_signals():
            sys.exit(main() or 0)
    except (BadInput, GateFailed) as error:
        name, status = ("error", 2) if isinstance(error, BadInput) else ("failed", 1)
        _leave(f"{name}: {' '.join(str(error).split())}", status)
    except process.Interrupted as interruption:
        text = "; ".join([*getattr(interruption, "__notes__", []), GOES_ON])
        _leave(f"interrupted by {interruption.signal.name}: {text}", 128 + interruption.signal)
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] in OURS:
            raise
        _leave(f"error: {error.name} is not installed; install Sideband with its extra 'all', or that of the stage", 2)
    except KeyboardInterrupt:
        _leave(f"interrupted: {GOES_ON}", 128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of the output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except MemoryError as error:
        _leave(f"error: not enough memory ({in_one_line(error)}); ask for less at once, or use a larger machine", 2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _leave(f"error: {place}{error.strerror or in_one_line(error)}", 2)


def _leave(line: str, status: int) -> NoReturn:
    sys.stdout.flush()
    print(line, file=sys.stderr)
    sys.exit(status)

"""Bad input, failed checks and signals: one clear line and an exit status, never a traceback."""

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from . import process

GOES_ON = "what was finished is kept; the same command goes on from there"


class BadInput(Exception):
    """Something the user gave cannot be used; the message says what, where, and what to do."""


class GateFailed(Exception):
    """A result did not pass a check it must pass; nothing that looks good is left behind."""


def in_one_line(error: BaseException) -> str:
    """What an exception of somebody else's says, short and on one line; its kind if it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def guarded(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's `main`, and turn what stops it into one line on stderr and an exit status.

    `BadInput`, a refusal by the operating system and a lack of memory exit with 2, `GateFailed` with 1, a signal with
    128 and its number. Anything else is a mistake of ours and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names of files may be no text
    try:
        with process.step_of_a_run(), process.interrupted_by_signals():
            sys.exit(main() or 0)
    except (BadInput, GateFailed) as error:
        name, status = ("error", 2) if isinstance(error, BadInput) else ("failed", 1)
        _leave(f"{name}: {' '.join(str(error).split())}", status)
    except process.Interrupted as interruption:
        said = "; ".join([*getattr(interruption, "__notes__", []), GOES_ON])
        _leave(f"interrupted by {interruption.signal.name}: {said}", 128 + interruption.signal)
    except KeyboardInterrupt:
        _leave(f"interrupted: {GOES_ON}", 128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read the output has gone, as in `| head`
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

"""Bad input and failed checks: one clear line and an exit status, never a traceback."""

import sys
from collections.abc import Callable
from typing import NoReturn


class BadInput(Exception):
    """Something the user gave cannot be used; the message says what, where, and what to do."""


class GateFailed(Exception):
    """A result did not pass a check it must pass; nothing that looks good is left behind."""


def in_one_line(error: BaseException) -> str:
    """What an exception of somebody else's says, short and on one line; its kind if it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def guarded(main: Callable[[], int | None]) -> NoReturn:
    """Run a command's `main`: `BadInput` is one line on stderr and exit status 2, `GateFailed` exit status 1."""
    try:
        sys.exit(main() or 0)
    except (BadInput, GateFailed) as error:
        sys.stdout.flush()
        name, status = ("error", 2) if isinstance(error, BadInput) else ("failed", 1)
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(status)
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept; the same command goes on from there", file=sys.stderr)
        sys.exit(130)

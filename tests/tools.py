"""Tools that tests use where a machine has them: without one a test is skipped, and says what it lacks.

MUST_RUN names those that fail instead: MUST_RUN="cpp node browser report".
"""

import os
from typing import NoReturn

import pytest

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MUST_RUN = os.environ.get("MUST_RUN", "").split()


def lacks(what: str, needed: str) -> NoReturn:
    """End a test of `what`, for lack of what it needs."""
    (pytest.fail if what in MUST_RUN else pytest.skip)(f"{what} needs {needed}")

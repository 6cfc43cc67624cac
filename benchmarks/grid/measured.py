"""Run one step of the grid, and note what it took: measured.py FILE PROGRAM ARGUMENT….

Runs as a file, and imports next to nothing, because it stands in front of every step.
"""

import json
import os
import sys
import time


def main() -> int:
    """Run the step to its end, and add its line to the file."""
    file, *command = sys.argv[1:]
    start = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    row = {
        "step": command[command.index("-m") + 2],
        "seconds": time.monotonic() - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss * unit / 2**20,
    }
    with open(file, "a") as rows:  # a line is written in one piece, whoever else writes
        rows.write(f"{json.dumps(row)}\n")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())

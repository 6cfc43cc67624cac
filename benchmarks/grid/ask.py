"""Ask a warm process for one step: ask.py SOCKET ARGUMENT…; prints what the step prints and ends as it ends.

Runs as a file, and imports next to nothing, because it stands in front of every step.
"""

import json
import os
import socket
import sys

LONGEST = 1 << 16  # bytes of a request


def main() -> int:
    """Send the request with the streams to write to, and wait for the exit status."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.connect(sys.argv[1])
        socket.send_fds(asking, [json.dumps([os.getcwd(), *sys.argv[2:]]).encode()], [1, 2])
        status = asking.recv(1)
    if not status:
        print("error: the process that starts the steps has ended", file=sys.stderr)
    return status[0] if status else 1


if __name__ == "__main__":
    sys.exit(main())

"""The command by which a router of a lab tells the core which pools to route to it.

Run as a file, since it has to be quick: ``announce.py CORE announce|withdraw POOL``.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

PORT: Final = 7179
_TRIES: Final = 3
_PATIENCE: Final = 1.0


def main() -> str | None:
    """Tell the core, and return what went wrong, if anything did."""
    core, verb, pool = sys.argv[1:]
    message = f"{verb} {pool}".encode()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect((core, PORT))
        for _ in range(_TRIES):
            try:
                sock.send(message)
                answer = sock.recv(256)
            except TimeoutError:
                continue
            except OSError as error:
                return f"{core}: {error.strerror}"
            return None if answer == b"done" else answer.decode()
    return f"{core} does not answer"


if __name__ == "__main__":
    sys.exit(main())

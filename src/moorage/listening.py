"""Unix sockets that a daemon listens on: who may connect is a matter of the file's mode."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BACKLOG = 128


def listen(
    path: Path, kind: socket.SocketKind, *, mode: int, group: int | None = None
) -> socket.socket:
    """Return a socket that listens at ``path``; what an earlier daemon left there is replaced.

    Args:
        path: its folder is made where it is missing.
        kind: SOCK_STREAM or SOCK_SEQPACKET.
        mode: of the file; to connect takes the right to write.
        group: owner of the file; none: the daemon's own.

    Raises:
        OSError: somebody else listens there, or the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, kind) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    try:
        sock.bind(str(path))
        # Nobody can connect before it listens, so nobody comes in before the mode is right.
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, str(path)) from None
    return sock

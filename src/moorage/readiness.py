"""Telling whoever started a daemon that it is ready: the notification protocol of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send ``state``, such as ``READY=1``, to the socket that NOTIFY_SOCKET names, if it does."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        # A starter that is gone does not need to know.
        contextlib.suppress(OSError),
    ):
        sock.sendto(state.encode(), address)

"""Hears of packets of ours that are too big for a path, and tells their senders."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from moorage.kernel.icmpv6 import raw_socket
from moorage.router.too_big import PACKET_TOO_BIG, Sends, relayed

_LARGEST = 2048
"""Bytes of an error at most: it is to fit the smallest MTU (RFC 4443 section 3.2)."""
_AT_ONCE = 32
"""Errors at most that are relayed at a time (RFC 4443 section 2.4 f); of the others, which the
socket does not hold for long, each is about a packet whose sender sends another."""
_PAUSE = 0.01
"""Seconds between two times."""


class TunnelErrors:
    """Relays the Packet Too Big messages of this network namespace until `close`.

    Args:
        sends: whether a packet is ours.

    Raises:
        OSError: without CAP_NET_RAW.
    """

    def __init__(self, sends: Sends) -> None:
        self._sends = sends
        self._loop = asyncio.get_running_loop()
        self._socket = raw_socket(PACKET_TOO_BIG)
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Relay no more."""
        self._loop.remove_reader(self._socket)
        if self._pause is not None:
            self._pause.cancel()
        self._socket.close()

    def _listen(self) -> None:
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                error = self._socket.recv(_LARGEST)
            except OSError:
                return
            answer = relayed(error, self._sends)
            if answer is not None:
                # A sender that cannot be reached cannot be told.
                with suppress(OSError):
                    self._socket.sendto(answer.message, (str(answer.destination), 0))
        self._loop.remove_reader(self._socket)
        self._pause = self._loop.call_later(_PAUSE, self._listen)

"""Sockets in memory, for tests: the test opens and ends them in the place of applications."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv6Network

from moorage.kernel.fake_queue import FakeQueue
from moorage.kernel.sock_diag import SocketInfo, SocketState


class FakeSockDiag:
    """A `SocketTable`, and what the test needs to fill it."""

    def __init__(self) -> None:
        self._sockets: list[SocketInfo] = []
        self._destroyed: set[int] = set()
        self._monitors: list[FakeQueue[SocketInfo]] = []

    def close(self) -> None:
        """Nothing to give back; the sockets stay."""

    def monitor(self) -> FakeQueue[SocketInfo]:
        """Open a `SocketMonitor`."""
        monitor: FakeQueue[SocketInfo] = FakeQueue()
        self._monitors.append(monitor)
        return monitor

    def open(self, info: SocketInfo) -> None:
        """An application opens a socket."""
        self._sockets.append(info)

    def end(self, info: SocketInfo) -> None:
        """Its application closes the socket. Raises ValueError if it is not open."""
        self._sockets.remove(info)
        self._destroyed.discard(info.cookie)
        if info.cookie:
            for monitor in self._monitors:
                monitor.put(replace(info, state=SocketState.CLOSE))

    def sockets_from(self, prefix: IPv6Network) -> list[SocketInfo]:
        """See `SocketTable.sockets_from`."""
        return [
            info
            for info in self._sockets
            if info.source in prefix and info.cookie not in self._destroyed
        ]

    def destroy(self, info: SocketInfo) -> bool:
        """See `SocketTable.destroy`; the end is heard when the test says `end`."""
        only_bound = info.state is SocketState.CLOSE
        if not info.cookie or info not in self.sockets_from(IPv6Network(info.source)):
            return False
        if only_bound and info.protocol == socket.IPPROTO_TCP:
            return False
        if not only_bound and info.state is not SocketState.LISTEN:
            self._destroyed.add(info.cookie)
        return True

"""A small daemon that is real but for what it knows, and sockets to ask it about.

Fixtures: import ``path``, ``start`` and ``sock`` into a conftest.py to have them there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.service import ServiceType
from moorage.wire.app import REQUEST_LENGTH, Reason, Reply, Request, decode_request

FIXED = ServiceType.FIXED
LASTING = ServiceType.SESSION_LASTING
LOOPBACK = IPv6Address("::1")
Answering = Callable[[Request], list[bytes]]


def gives(address: IPv6Address) -> Answering:
    return lambda request: [Reply(request.id, 0, Reason.NONE, address, 60).encode()]


def refuses(status: int, reason: Reason) -> Answering:
    return lambda request: [Reply(request.id, status, reason, IPv6Address(0), 0).encode()]


class Daemon:
    """Listens where applications look for the daemon; remembers what they asked."""

    def __init__(self, path: Path, answering: Answering) -> None:
        self.requests: list[Request] = []
        self.subjects: list[tuple[int, int]] = []
        self.connections: list[socket.socket] = []
        self._answering = answering
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen()
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def stop(self) -> None:
        # A thread in accept() or recv() only wakes by a shutdown.
        for sock in (self._listener, *self.connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for sock in (self._listener, *self.connections):
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, descriptors, _, _ = socket.recv_fds(connection, REQUEST_LENGTH + 1, 4)
                for descriptor in descriptors:
                    status = os.fstat(descriptor)
                    self.subjects.append((status.st_dev, status.st_ino))
                    os.close(descriptor)
                if not data:
                    return
                request = decode_request(data)
                self.requests.append(request)
                answers = self._answering(request)
                for answer in answers:
                    connection.send(answer)
                if not answers:
                    connection.shutdown(socket.SHUT_RDWR)


Start = Callable[[Answering], Daemon]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where applications look for the daemon."""
    path = tmp_path / "host.sock"
    monkeypatch.setenv("MOORAGE_SOCKET", str(path))
    return path


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts the daemon there."""
    with contextlib.ExitStack() as stack:

        def start(answering: Answering) -> Daemon:
            daemon = Daemon(path, answering)
            stack.callback(daemon.stop)
            return daemon

        yield start


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        yield sock

"""Watching what happens to the address of a socket."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Self

from moorage import client
from moorage.errors import SetscError
from moorage.wire.app import Operation, Reason, Reply, Request
from moorage.wire.errors import WireError
from moorage.wire.notice import NOTICE_LENGTH, Notice, decode_notice

_PATIENCE = 5.0
"""Seconds for the daemon to answer, which asks nobody else."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The host daemon ended: nothing more comes from this watch, and much may happen unheard.

    A new watch begins with what is not as usual by then.
    """


Event = Notice | Interrupted


class Watch:
    """Tells what happens to an address; made by `watch`."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    @property
    def over(self) -> bool:
        """Whether `Interrupted` was returned, or `close` called: nothing more comes."""
        return self._over

    def fileno(self) -> int:
        """Readable when there is something to `read`, and for good once the daemon has ended."""
        return self._connection.fileno()

    def read(self) -> list[Event]:
        """Return what has happened since the last time, without waiting."""
        events: list[Event] = []
        while not self._over:
            try:
                data = self._connection.recv(NOTICE_LENGTH + 1)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            event = event_in(data)
            events.append(event)
            if isinstance(event, Interrupted):
                self._over = True
                with suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)
        return events

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Return what happens, as it happens; end when nothing did for ``timeout`` seconds."""
        if self._over:
            return
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while not self._over:
            if not poll.poll(None if timeout is None else 1000 * timeout):
                return
            yield from self.read()

    def close(self) -> None:
        """End the watch."""
        self._over = True
        self._connection.close()


def event_in(data: bytes) -> Event:
    """Return what the daemon told; it has hung up, or is none that we understand, otherwise."""
    try:
        return decode_notice(data)
    except WireError:
        return Interrupted()


def watch(subject: socket.socket | IPv6Address | str) -> Watch:
    """Watch the address of a socket: the one that it is bound to, or all that it was given.

    Args:
        subject: a socket that `moorage.setsc` was called for or that is bound; or an address that
            this process can bind sockets to.

    Raises:
        RequiredIPNotSupported: there is no daemon on this host.
        RequiredIPFailed: the daemon hung up.
        OSError: EADDRNOTAVAIL, there is no such address here, or none that the daemon looks after.
        ValueError: ``subject`` is neither an IPv6 socket nor an IPv6 address.
    """
    connection = client.connect()
    try:
        with user_of(subject) as sock:
            request = watch_request()
            client.send(connection, request, sock)
            accepted(client.await_reply(connection, request))
        return Watch(connection)
    except BaseException:
        connection.close()
        raise


def watch_request() -> Request:
    """Return a request to watch."""
    return client.new_request(Operation.WATCH, 0, on_net=False, timeout=_PATIENCE)


def accepted(reply: Reply) -> None:
    """Check the reply to such a request.

    Raises:
        OSError: as `watch` does.
    """
    try:
        client.granted(reply)
    except SetscError as error:
        if error.reason is Reason.NO_ADDRESS:
            code = errno.EADDRNOTAVAIL
            raise OSError(code, f"{os.strerror(code)}: none that the daemon looks after") from None
        raise


@contextmanager
def user_of(subject: socket.socket | IPv6Address | str) -> Iterator[socket.socket]:
    """Have a socket that uses what is to be watched: only who can use an address may watch it.

    Raises:
        OSError, ValueError: as `watch` does.
    """
    if isinstance(subject, socket.socket):
        if subject.family != socket.AF_INET6:
            raise ValueError("watch() is about IPv6 sockets")
        if subject.fileno() < 0:
            raise ValueError("the socket is closed")
        yield subject
        return
    with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as sock:
        sock.bind((str(IPv6Address(subject)), 0))
        yield sock

"""The unix socket on which applications call the host daemon."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path

from moorage.complaints import Complaints
from moorage.host.caller import Caller
from moorage.host.outbox import Outbox
from moorage.host.peer import identify
from moorage.host.subject import Subject
from moorage.kernel.sock_diag import socket_cookie
from moorage.listening import listen
from moorage.wire.app import REQUEST_LENGTH, Operation, Reply, Request, decode_request
from moorage.wire.errors import WireError
from moorage.wire.notice import Notice, encode_notice

_DESCRIPTOR_SIZE = array.array("i").itemsize
_UNBOUND = "::"


class Application:
    """One connected application, and who it is."""

    def __init__(self, connection: socket.socket, caller: Caller) -> None:
        self.connection = connection
        self.caller = caller
        self._outbox: Outbox | None = None

    def answer(self, reply: Reply) -> None:
        """Send a reply; one that does not read its replies loses them."""
        with contextlib.suppress(OSError):
            self.connection.send(reply.encode())

    def notify(self, notice: Notice) -> None:
        """Send a notice; of those that a slow reader loses it is told the number."""
        if self._outbox is None:
            self._outbox = Outbox()
            # What the kernel keeps for a slow reader is the oldest: let that be little.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)
        self._outbox.put(notice)
        self._send(self._outbox)

    def close(self) -> None:
        """Hang up."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.connection)
        loop.remove_writer(self.connection)
        self.connection.close()

    def _send(self, outbox: Outbox) -> None:
        """Send as many notices as the reader has room for, and the others when it has."""
        loop = asyncio.get_running_loop()
        try:
            while (notice := outbox.first()) is not None:
                self.connection.send(encode_notice(notice))
                outbox.sent()
        except BlockingIOError:
            loop.add_writer(self.connection, self._send, outbox)
        except OSError:
            # It hung up, which is read from it, too.
            loop.remove_writer(self.connection)
        else:
            loop.remove_writer(self.connection)


Handler = Callable[[Application, Request, Subject | None], None]
"""Takes an application's request and the socket that it is about, if it is about one."""


class ApplicationServer:
    """Listens on ``path`` and hands requests on.

    Raises:
        OSError: the socket cannot be made there.
    """

    def __init__(
        self,
        path: Path,
        handle: Handler,
        gone: Callable[[Application], None],
        complaints: Complaints,
    ) -> None:
        self._path = path
        self._handle = handle
        self._gone = gone
        self._complaints = complaints
        self._loop = asyncio.get_running_loop()
        self._applications: set[Application] = set()
        # Anybody on the host may ask; what he gets is a matter of policy.
        self._socket = listen(path, socket.SOCK_SEQPACKET, mode=0o666)
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Hang up on everybody and remove the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for application in list(self._applications):
            self._hang_up(application)
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        connection.setblocking(False)
        application = Application(connection, identify(connection))
        self._applications.add(application)
        self._loop.add_reader(connection, self._read, application)

    def _read(self, application: Application) -> None:
        try:
            data, ancillary, _, _ = application.connection.recvmsg(
                REQUEST_LENGTH + 1, socket.CMSG_SPACE(_DESCRIPTOR_SIZE)
            )
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        descriptors = _descriptors(ancillary)
        try:
            if not data:
                self._hang_up(application)
                return
            request = decode_request(data)
            subject = _subject(request, descriptors)
        except (WireError, ValueError) as error:
            self._complaints.complain(
                "application record", f"process {application.caller.pid}", error
            )
            self._hang_up(application)
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._handle(application, request, subject)

    def _hang_up(self, application: Application) -> None:
        if application in self._applications:
            self._applications.remove(application)
            application.close()
            self._gone(application)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_SIZE])
    return found.tolist()


def _subject(request: Request, descriptors: list[int]) -> Subject | None:
    """Return the socket that came along, if the request is about one.

    Raises:
        ValueError: there is none although the request is about one, or it is no IPv6 socket.
    """
    if request.operation in (Operation.HOLD, Operation.RUN):
        return None
    if not descriptors:
        raise ValueError("no socket came along")
    try:
        # With the protocol, whatever it is, Python need not ask for it.
        sock = socket.socket(fileno=descriptors[0], proto=0)
        try:
            if sock.family != socket.AF_INET6:
                raise ValueError("not an IPv6 socket")
            address = sock.getsockname()[0]
            return Subject(
                socket_cookie(sock),
                None if address == _UNBOUND else IPv6Address(address),
                counted=sock.type != socket.SOCK_RAW,
            )
        finally:
            sock.detach()
    except OSError as error:
        raise ValueError(f"not a socket: {error.strerror}") from None

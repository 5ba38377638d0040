"""Talking to the host daemon: one connection a thread, one record each way."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address

from moorage.errors import RequiredIPFailed, RequiredIPNotSupported, from_status
from moorage.offered import offered
from moorage.preferences import requires_src_on_net
from moorage.service import ServiceType
from moorage.wire.app import REPLY_LENGTH, Operation, Reason, Reply, Request, decode_reply
from moorage.wire.errors import WireError

DEFAULT_SOCKET = "/run/moorage/host.sock"
"""Where the daemon listens, unless the environment's MOORAGE_SOCKET says otherwise."""

_LONGEST_LIFETIME = 0xFFFF_FFFF

_GRACE = 1.0
"""Seconds beyond the time that a request gives the daemon, after which nothing more will come."""

_numbers = itertools.count(1)


class _Connections(threading.local):
    """This thread's connection, and the process that made it: a fork must not share it."""

    sock: socket.socket | None = None
    process: int = 0
    path: str = ""


_connections = _Connections()


def connect(*, blocking: bool = True) -> socket.socket:
    """Return a new connection to the daemon.

    Raises:
        RequiredIPNotSupported: there is no daemon on this host.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.connect(_path())
    except OSError as error:
        sock.close()
        raise RequiredIPNotSupported(
            Reason.NO_SERVICE, f"no host daemon at {_path()}: {error.strerror}"
        ) from None
    sock.setblocking(blocking)
    return sock


def new_request(
    operation: Operation,
    service: int,
    *,
    on_net: bool,
    timeout: float | None,
    lifetime: int | None = None,
) -> Request:
    """Return a request with a number of its own; times are seconds, none: the daemon's.

    Raises:
        ValueError: ``lifetime`` is not for this type, or out of its range.
    """
    if lifetime is not None and service != ServiceType.SESSION_LASTING:
        raise ValueError("only a Session-lasting address can have a lifetime")
    if lifetime is not None and not 0 < lifetime <= _LONGEST_LIFETIME:
        raise ValueError(f"lifetime is {lifetime}, not 1 to {_LONGEST_LIFETIME} seconds")
    milliseconds = 0 if timeout is None else max(1, round(timeout * 1000))
    return Request(
        next(_numbers) & 0xFFFF_FFFF,
        operation,
        int(service),
        on_net,
        min(milliseconds, 0xFFFF_FFFF),
        lifetime or 0,
    )


def setsc_request(
    sock: socket.socket,
    service: int | None,
    *,
    on_net: bool,
    timeout: float | None,
    lifetime: int | None,
) -> Request:
    """Return the request of ``setsc()`` for ``sock``, for a function that the application calls.

    Raises:
        ValueError: as `setsc` does.
    """
    if sock.family != socket.AF_INET6:
        raise ValueError("setsc() is about IPv6 sockets")
    if sock.fileno() < 0:
        raise ValueError("the socket is closed")
    source = sock.getsockname()[0]
    if source != "::":
        raise ValueError(f"the socket has the source address {source}: setsc() comes before bind()")
    on_net |= requires_src_on_net(sock, stacklevel=3)
    operation = Operation.DEFAULT if service is None else Operation.SETSC
    return new_request(operation, service or 0, on_net=on_net, timeout=timeout, lifetime=lifetime)


def send(sock: socket.socket, request: Request, subject: socket.socket | None) -> None:
    """Send a request, with the socket that it is about.

    Raises:
        OSError: the connection is broken.
    """
    data = [request.encode()]
    if subject is None:
        sock.sendmsg(data)
    else:
        socket.send_fds(sock, data, [subject.fileno()])


def outcome(request: Request, data: bytes) -> Reply | None:
    """Return the reply to ``request`` in ``data``; none if it answers an earlier one.

    Raises:
        RequiredIPFailed: the daemon hung up, or talks nonsense.
    """
    if not data:
        raise hung_up()
    try:
        reply = decode_reply(data)
    except WireError as error:
        raise RequiredIPFailed(Reason.BAD_REQUEST, str(error)) from None
    return reply if reply.id == request.id else None


def patience(request: Request) -> float | None:
    """Return how many seconds to wait for the reply, none where the daemon knows best."""
    return request.timeout_ms / 1000 + _GRACE if request.timeout_ms else None


def await_reply(connection: socket.socket, request: Request) -> Reply:
    """Return the reply to ``request``, for which it waits a little longer than the daemon does.

    Raises:
        RequiredIPFailed: none comes.
    """
    connection.settimeout(patience(request))
    try:
        while True:
            reply = outcome(request, connection.recv(REPLY_LENGTH + 1))
            if reply is not None:
                return reply
    except TimeoutError:
        raise unanswered() from None
    except ConnectionError:
        raise hung_up() from None


@dataclass(frozen=True, slots=True)
class Held:
    """An address that is held for as long as ``connection`` to the daemon lasts."""

    address: IPv6Address
    connection: socket.socket

    def wait(self) -> None:
        """Wait until the daemon hangs up, which then holds it no longer."""
        self.connection.settimeout(None)
        with suppress(ConnectionError):
            while self.connection.recv(REPLY_LENGTH):
                pass


def granted(reply: Reply) -> Reply:
    """Return the reply, which grants what was asked for.

    Raises:
        SetscError: it refuses.
    """
    if reply.status != 0:
        raise from_status(reply.status, reply.reason)
    return reply


def ask(request: Request, subject: socket.socket | None = None) -> Reply:
    """Send ``request`` to the daemon and wait for its reply.

    Raises:
        SetscError: there is no daemon, or it refused.
    """
    connection = _connection()
    try:
        send(connection, request, subject)
    except ConnectionError:
        # The daemon was started anew since the last call of this thread.
        _forget()
        connection = _connection()
        send(connection, request, subject)
    try:
        reply = await_reply(connection, request)
    except BaseException:
        # The daemon need not go on with what nobody waits for.
        _forget()
        raise
    return granted(reply)


def setsc(
    sock: socket.socket,
    service: ServiceType | int | None = None,
    *,
    on_net: bool = False,
    timeout: float | None = None,
    lifetime: int | None = None,
) -> IPv6Address:
    """Return a source address of type ``service`` for ``sock`` (draft section 6.1).

    The socket itself is not changed: ``bind()`` it to the address to use it.

    Args:
        sock: an IPv6 socket; the address stays valid for it as its type promises.
        service: one of the four types; without it, the host's policy or the network chooses.
        on_net: require a new prefix of the network that the host is on now, as
            IPV6_REQUIRE_SRC_ON_NET in the socket's IPV6_ADDR_PREFERENCES does (draft section 6.2).
        timeout: seconds to wait for the network; none leaves it to the daemon.
        lifetime: seconds for which a Session-lasting address is given to new sockets, lest
            somebody track the application by it (draft section 7). It is shared with those alone
            that ask for the same. Then the address is deprecated; this socket keeps it.

    Raises:
        RequiredIPNotSupported: neither this host nor this network knows the type; at once where
            there is no daemon.
        RequiredIPFailed: the network could not fulfil the request.
        ValueError: ``sock`` is no IPv6 socket, is closed, or has a source address already;
            or ``lifetime`` is not for this type.
    """
    if service is not None and not on_net and lifetime is None:
        address = offered(sock, service)
        if address is not None:
            return address
    request = setsc_request(sock, service, on_net=on_net, timeout=timeout, lifetime=lifetime)
    return ask(request, sock).address


@contextmanager
def held(service: ServiceType, *, timeout: float | None = None) -> Iterator[Held]:
    """Hold an address of type ``service`` that no socket uses yet.

    In the end it stays for the daemon's linger time, and for as long as sockets are bound to it.

    Raises:
        SetscError: as `setsc` does.
    """
    request = new_request(Operation.HOLD, service, on_net=False, timeout=timeout)
    with closing(connect()) as connection:
        try:
            send(connection, request, None)
        except ConnectionError:
            raise hung_up() from None
        yield Held(granted(await_reply(connection, request)).address, connection)


def become_program(service: ServiceType, *, timeout: float | None = None) -> IPv6Address:
    """Let this process, and all that it starts, have addresses of type ``service`` by default.

    From then on such an address is the source of IPv6 sockets that name none, until the last of
    these processes has ended; the first one is returned.

    Raises:
        SetscError: as `setsc` does; with NO_HOOKS where this host cannot do that.
    """
    request = new_request(Operation.RUN, service, on_net=False, timeout=timeout)
    with closing(connect()) as connection:
        try:
            send(connection, request, None)
        except ConnectionError:
            raise hung_up() from None
        return granted(await_reply(connection, request)).address


def hung_up() -> RequiredIPFailed:
    """Return what to raise where the daemon closed the connection."""
    return RequiredIPFailed(Reason.BAD_REQUEST, "the host daemon hung up")


def unanswered() -> RequiredIPFailed:
    """Return what to raise where the daemon let its own time pass."""
    return RequiredIPFailed(Reason.TIMEOUT, "the host daemon does not answer")


def _path() -> str:
    return os.environ.get("MOORAGE_SOCKET", DEFAULT_SOCKET)


def _connection() -> socket.socket:
    known = _connections
    if known.sock is None or known.process != os.getpid() or known.path != _path():
        _forget()
        known.sock, known.process, known.path = connect(), os.getpid(), _path()
    return known.sock


def _forget() -> None:
    if _connections.sock is not None:
        _connections.sock.close()
        _connections.sock = None

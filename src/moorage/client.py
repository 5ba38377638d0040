"""Talking to the host daemon: one connection a thread, one record each way."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from ipaddress import IPv6Address

from moorage.errors import RequiredIPFailed, RequiredIPNotSupported, from_status
from moorage.service import ServiceType
from moorage.wire.app import REPLY_LENGTH, Operation, Reason, Reply, Request, decode_reply
from moorage.wire.errors import WireError

DEFAULT_SOCKET = "/run/moorage/host.sock"
"""Where the daemon listens, unless the environment's MOORAGE_SOCKET says otherwise."""

_LONGEST_LIFETIME = 0xFFFF_FFFF
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
        SetscError: the daemon refused, or hung up.
    """
    if not data:
        raise RequiredIPFailed(Reason.BAD_REQUEST, "the host daemon hung up")
    try:
        reply = decode_reply(data)
    except WireError as error:
        raise RequiredIPFailed(Reason.BAD_REQUEST, str(error)) from None
    if reply.id != request.id:
        return None
    if reply.status != 0:
        raise from_status(reply.status, reply.reason)
    return reply


def ask(request: Request, subject: socket.socket | None = None) -> Reply:
    """Send ``request`` to the daemon and wait for its reply.

    Raises:
        SetscError: there is no daemon, or it refused.
    """
    sock = _connection()
    try:
        send(sock, request, subject)
    except OSError:
        # The daemon was started anew since the last call of this thread.
        _forget()
        sock = _connection()
        send(sock, request, subject)
    try:
        while True:
            reply = outcome(request, sock.recv(REPLY_LENGTH + 1))
            if reply is not None:
                return reply
    except ConnectionError:
        _forget()
        raise RequiredIPFailed(Reason.BAD_REQUEST, "the host daemon hung up") from None
    except KeyboardInterrupt:
        _forget()
        raise


def setsc(
    sock: socket.socket,
    service: ServiceType | int,
    *,
    on_net: bool = False,
    timeout: float | None = None,
    lifetime: int | None = None,
) -> IPv6Address:
    """Return a source address of type ``service`` for ``sock`` (draft section 6.1).

    The socket itself is not changed: ``bind()`` it to the address to use it.

    Args:
        sock: an IPv6 socket; the address stays valid for it as its type promises.
        service: one of the four types.
        on_net: require a new prefix of the network that the host is on now, as
            IPV6_REQUIRE_SRC_ON_NET does (draft section 6.2).
        timeout: seconds to wait for the network; none leaves it to the daemon.
        lifetime: seconds for which a Session-lasting address is given to new sockets, lest
            somebody track the application by it (draft section 7). It is shared with those alone
            that ask for the same. Then the address is deprecated; this socket keeps it.

    Raises:
        RequiredIPNotSupported: neither this host nor this network knows the type; at once where
            there is no daemon.
        RequiredIPFailed: the network could not fulfil the request.
        ValueError: ``sock`` is no IPv6 socket, or ``lifetime`` is not for this type.
    """
    if sock.family != socket.AF_INET6:
        raise ValueError("setsc() is about IPv6 sockets")
    request = new_request(
        Operation.SETSC, service, on_net=on_net, timeout=timeout, lifetime=lifetime
    )
    return ask(request, sock).address


def hold(service: ServiceType, *, timeout: float | None = None) -> Reply:
    """Return the reply with an address of type ``service`` that no socket uses yet.

    It stays for the daemon's linger time, and for as long as sockets are bound to it.

    Raises:
        SetscError: as `setsc` does.
    """
    return ask(new_request(Operation.HOLD, service, on_net=False, timeout=timeout))


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

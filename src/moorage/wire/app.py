"""Records between an application's library and the host daemon (a unix SEQPACKET socket).

Each record is one packet of fixed size in network byte order. All begin with the magic ``MR``, a
version and their kind: a request, a reply to it, or a notice (`moorage.wire.notice`). The file
descriptor that SETSC or WATCH is about travels beside its record (SCM_RIGHTS) and is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Any, Final

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

MAGIC: Final = b"MR"
VERSION: Final = 1

# magic, version, kind, id; then operation, type, on_net, an unused byte, timeout, lifetime
_REQUEST: Final = Layout("request", "2sBB I BBBx I I")
# magic, version, kind, id; then status, reason, three unused bytes, address, valid_for
_REPLY: Final = Layout("reply", "2sBB I i B3x 16s I")

REQUEST_LENGTH: Final = _REQUEST.size
"""Bytes of an encoded `Request`."""

REPLY_LENGTH: Final = _REPLY.size
"""Bytes of an encoded `Reply`."""


class Kind(IntEnum):
    """What a record is."""

    REQUEST = 1
    REPLY = 2
    NOTICE = 3


class Operation(IntEnum):
    """What an application asks for."""

    SETSC = 1
    """An address of a service type for the socket that comes along (draft section 6.1)."""

    HOLD = 2
    """An address of a service type without a socket; its linger time starts at once."""

    WATCH = 3
    """Notices of what happens to the address of the socket that comes along: the one that it is
    bound to, or all that it was given. The reply has no address; the notices follow it."""

    DEFAULT = 4
    """An address of the type that policy chooses (draft section 3.4) for the socket that comes
    along; the request's type is 0."""

    RUN = 5
    """An address of a service type for the program that asks, and for all that it starts: in a
    control group of their own, in which it is before the reply comes, it is the source of sockets
    that name none. It is theirs for as long as any of them lives."""


class Reason(IntEnum):
    """Why a request failed; 1 to 6 are the network's refusals by their numbers on the wire."""

    NONE = 0
    TYPE_NOT_OFFERED = 1
    POOL_FULL = 2
    QUOTA = 3
    NOT_AUTHORISED = 4
    TRY_LATER = 5
    SIGNATURE_OR_TIME = 6
    DETACHED = 16
    """The host is attached to no network."""
    TIMEOUT = 17
    """The network knows the service but did not deliver in time."""
    NO_SERVICE = 18
    """The network does not know the service."""
    BAD_REQUEST = 19
    """The application asked for something that makes no sense."""
    NO_ADDRESS = 20
    """The socket that came along has no address that this host looks after."""
    HOST_NOT_AUTHORISED = 21
    """The host's policy does not give this type to this application."""
    HOST_QUOTA = 22
    """The application, its user or the host has as many addresses, or has made as many requests of
    late, as the host's policy allows."""
    NO_HOOKS = 23
    """The host cannot choose the source addresses of programs that do not ask."""


@dataclass(frozen=True, slots=True)
class Request:
    """An application's wish.

    Attributes:
        id: chosen by the application, returned in the reply.
        operation: what is asked for.
        type: the number of a service type as the application gave it, valid or not.
        on_net: the address has to be new from the current network (draft section 6.2).
        timeout_ms: how long to wait, in milliseconds; 0 leaves it to the daemon.
        lifetime: how long a Session-lasting address is to be given to sockets, in seconds (draft
            section 7); 0 leaves it to the daemon.
    """

    id: int
    operation: Operation
    type: int
    on_net: bool
    timeout_ms: int
    lifetime: int = 0

    def encode(self) -> bytes:
        """Return the record.

        Raises:
            ValueError: a field is out of its range.
        """
        return _REQUEST.pack(
            MAGIC,
            VERSION,
            Kind.REQUEST,
            self.id,
            self.operation,
            self.type,
            self.on_net,
            self.timeout_ms,
            self.lifetime,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """The daemon's answer.

    Attributes:
        id: that of the request.
        status: 0, or an EAI number of `moorage.numbers`.
        reason: why the status is not 0.
        address: the source address, or ``::`` on failure.
        valid_for: seconds that the address remains valid.
    """

    id: int
    status: int
    reason: Reason
    address: IPv6Address
    valid_for: int

    def encode(self) -> bytes:
        """Return the record.

        Raises:
            ValueError: a field is out of its range.
        """
        return _REPLY.pack(
            MAGIC,
            VERSION,
            Kind.REPLY,
            self.id,
            self.status,
            self.reason,
            self.address.packed,
            self.valid_for,
        )


def decode_request(data: bytes) -> Request:
    """Return the request that ``data`` is.

    Raises:
        WireError: ``data`` is no request of this version.
    """
    identifier, operation, type_, on_net, timeout_ms, lifetime = unpack_record(
        _REQUEST, Kind.REQUEST, data
    )
    if on_net > 1:
        raise WireError(_REQUEST.where, f"on_net is {on_net}, neither 0 nor 1")
    try:
        known = Operation(operation)
    except ValueError:
        raise WireError(_REQUEST.where, f"unknown operation {operation}") from None
    return Request(identifier, known, type_, bool(on_net), timeout_ms, lifetime)


def decode_reply(data: bytes) -> Reply:
    """Return the reply that ``data`` is.

    Raises:
        WireError: ``data`` is no reply of this version.
    """
    identifier, status, reason, address, valid_for = unpack_record(_REPLY, Kind.REPLY, data)
    try:
        return Reply(identifier, status, Reason(reason), IPv6Address(address), valid_for)
    except ValueError:
        raise WireError(_REPLY.where, f"unknown reason {reason}") from None


def unpack_record(layout: Layout, expected: Kind, data: bytes) -> tuple[Any, ...]:
    """Return the fields behind the common head, which is checked.

    Raises:
        WireError: ``data`` is no such record of this version.
    """
    magic, version, kind, *fields = layout.unpack(data)
    if magic != MAGIC:
        raise WireError(layout.where, f"magic {magic!r} instead of {MAGIC!r}")
    if version != VERSION:
        raise WireError(layout.where, f"unknown version {version}")
    if kind != expected:
        raise WireError(layout.where, f"kind {kind} instead of {expected}")
    return tuple(fields)

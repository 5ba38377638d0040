"""What happens to an address, as the host daemon tells an application that watches it.

A notice is a record of fixed size like those of `moorage.wire.app`, on the same kind of socket; it
answers no request.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from ipaddress import IPv6Address
from typing import Final

from moorage.wire.app import MAGIC, VERSION, Kind, unpack_record
from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

# magic, version, kind; then what, why, two unused bytes, number, address, by
_NOTICE: Final = Layout("notice", "2sBB BB2x I 16s 16s")

NOTICE_LENGTH: Final = _NOTICE.size
"""Bytes of an encoded notice."""

_NONE: Final = IPv6Address(0)


class Why(StrEnum):
    """Why an address is no longer valid."""

    EXPIRED = "its lifetime is over"
    WITHDRAWN = "the network no longer has it"
    LEFT = "the host has left its network"
    RELEASED = "nobody used it any more"
    REMOVED = "it was taken off its interface"


@dataclass(frozen=True, slots=True)
class Replaced:
    """``by`` is there for new sockets; ``address`` is valid for so many more seconds."""

    address: IPv6Address
    by: IPv6Address
    valid_for: int


@dataclass(frozen=True, slots=True)
class Deprecated:
    """New sockets get another address; this one is valid for so many more seconds."""

    address: IPv6Address
    valid_for: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The address is no longer valid; what was sent from it is lost."""

    address: IPv6Address
    why: Why


@dataclass(frozen=True, slots=True)
class Moved:
    """Another router or link serves the address now; connections go on."""

    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Detached:
    """No link carries the address now; it stays until `Moved`, `Attached` or `Gone`."""

    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Attached:
    """The router and link that served the address before serve it again."""

    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Overrun:
    """So many notices before the next one are lost, since they were not read in time."""

    lost: int


Notice = Replaced | Deprecated | Gone | Moved | Detached | Attached | Overrun


class _What(IntEnum):
    REPLACED = 1
    DEPRECATED = 2
    GONE = 3
    MOVED = 4
    DETACHED = 5
    ATTACHED = 6
    OVERRUN = 7


_WHY: Final = dict(enumerate(Why, 1))
_WHY_NUMBERS: Final = {why: number for number, why in _WHY.items()}


def encode_notice(notice: Notice) -> bytes:
    """Return the record.

    Raises:
        ValueError: a field is out of its range.
    """
    match notice:
        case Replaced(address, by, valid_for):
            return _pack(_What.REPLACED, address, by=by, number=valid_for)
        case Deprecated(address, valid_for):
            return _pack(_What.DEPRECATED, address, number=valid_for)
        case Gone(address, why):
            return _pack(_What.GONE, address, why=_WHY_NUMBERS[why])
        case Moved(address):
            return _pack(_What.MOVED, address)
        case Detached(address):
            return _pack(_What.DETACHED, address)
        case Attached(address):
            return _pack(_What.ATTACHED, address)
        case Overrun(lost):
            return _pack(_What.OVERRUN, number=lost)


def decode_notice(data: bytes) -> Notice:
    """Return the notice that ``data`` is.

    Raises:
        WireError: ``data`` is no notice of this version.
    """
    what, why, number, first, second = unpack_record(_NOTICE, Kind.NOTICE, data)
    address = IPv6Address(first)
    match what:
        case _What.REPLACED:
            return Replaced(address, IPv6Address(second), number)
        case _What.DEPRECATED:
            return Deprecated(address, number)
        case _What.GONE if why in _WHY:
            return Gone(address, _WHY[why])
        case _What.GONE:
            raise WireError(_NOTICE.where, f"unknown cause {why}")
        case _What.MOVED:
            return Moved(address)
        case _What.DETACHED:
            return Detached(address)
        case _What.ATTACHED:
            return Attached(address)
        case _What.OVERRUN:
            return Overrun(number)
        case _:
            raise WireError(_NOTICE.where, f"unknown event {what}")


def _pack(
    what: _What,
    address: IPv6Address = _NONE,
    *,
    by: IPv6Address = _NONE,
    why: int = 0,
    number: int = 0,
) -> bytes:
    return _NOTICE.pack(MAGIC, VERSION, Kind.NOTICE, what, why, number, address.packed, by.packed)

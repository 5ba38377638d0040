"""Packets that are too big for a path, told to whoever sent them (RFC 2473 sections 7.1 and 8).

Where an encapsulated packet is too big, the Packet Too Big goes to the source of the outer header:
to us. The sender of the packet inside would not learn what becomes of it, and a transfer would hang
for good.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from moorage.router.config import ENCAPSULATION

PACKET_TOO_BIG: Final = 2
"""ICMPv6 type (RFC 4443 section 3.2)."""
MINIMUM_MTU: Final = 1280
"""What every link can carry (RFC 8200 section 5)."""

_ICMP: Final = struct.Struct("!BBHI")
"""Type, code, checksum, MTU."""
_IPV6: Final = struct.Struct("!IHBB16s16s")
"""Version and flow, payload length, next header, hop limit, source, destination."""
_IPV6_IN_IPV6: Final = 41
_ICMPV6: Final = 58
_FIRST_INFORMATIONAL: Final = 128
"""ICMPv6 types below are errors."""


@dataclass(frozen=True, slots=True)
class TooBig:
    """A Packet Too Big to send; the kernel fills its checksum in."""

    destination: IPv6Address
    message: bytes


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """The addresses of a packet and of the one inside."""

    outer_source: IPv6Address
    outer_destination: IPv6Address
    source: IPv6Address
    destination: IPv6Address


Sends = Callable[[Tunnelled], bool]
"""Whether we send such packets."""


def relayed(error: bytes, sends: Sends) -> TooBig | None:
    """Return what the sender of the inner packet is to hear of a Packet Too Big that came to us.

    None where it is none, is not about a packet of ours, or nothing may be answered to that packet
    (RFC 4443 section 2.4 e). Nobody is told of less than `MINIMUM_MTU`.
    """
    inner_at = _ICMP.size + _IPV6.size
    payload_at = inner_at + _IPV6.size
    if len(error) < payload_at:
        return None
    kind, _, _, mtu = _ICMP.unpack_from(error)
    outer_version, _, outer_next, _, *outer = _IPV6.unpack_from(error, _ICMP.size)
    version, size, following, _, *inner = _IPV6.unpack_from(error, inner_at)
    packet = Tunnelled(*map(IPv6Address, (*outer, *inner)))
    if kind != PACKET_TOO_BIG or (outer_version >> 28, outer_next) != (6, _IPV6_IN_IPV6):
        return None
    if version >> 28 != 6 or not _may_be_answered(packet.source, following, error[payload_at:]):
        return None
    mtu = max(MINIMUM_MTU, mtu - ENCAPSULATION)
    # A jumbo payload, which segmentation offload makes, has length 0.
    if 0 < size <= mtu - _IPV6.size or not sends(packet):
        return None
    message = _ICMP.pack(PACKET_TOO_BIG, 0, 0, mtu) + error[inner_at:]
    return TooBig(packet.source, message)


def _may_be_answered(source: IPv6Address, next_header: int, payload: bytes) -> bool:
    if source.is_multicast or source.is_unspecified or source.is_link_local or source.is_loopback:
        return False
    is_error = next_header == _ICMPV6 and payload[:1] < bytes((_FIRST_INFORMATIONAL,))
    return not is_error

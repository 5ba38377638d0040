"""The interface identifiers of the host's own addresses.

They are random (RFC 8981 section 3.3.1), so that nothing but its prefix says whose an address is.
Those of Fixed addresses are stable (RFC 7217): the same prefix gives the same address even to a
host that has lost its state.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from random import Random
from typing import Final

from moorage.service import ServiceType

_BITS: Final = 64
_LINK_LOCAL: Final = IPv6Network("fe80::/64")
_RESERVED: Final = (
    range(1),
    range(0x0200_5EFF_FE00_0000, 0x0200_5EFF_FF00_0000),
    range(0xFDFF_FFFF_FFFF_FF80, 0xFDFF_FFFF_FFFF_FFFF + 1),
)
"""The subnet router's (RFC 4291 section 2.6.1) and those of RFC 5453."""


class InterfaceIdentifiers:
    """Makes addresses; ``secret`` is the host's, at least 16 bytes that never change."""

    def __init__(self, secret: bytes, random: Random) -> None:
        self._secret = secret
        self._random = random

    def address(self, prefix: IPv6Network, type_: ServiceType) -> IPv6Address:
        """Return an address in ``prefix``; of a prefix shorter than /64 the first /64 is used."""
        candidates = self._stable(prefix) if type_ is ServiceType.FIXED else self._temporary()
        return prefix[next(each for each in candidates if not _reserved(each))]

    def link_local(self) -> IPv6Address:
        """Return a random link-local address."""
        return self.address(_LINK_LOCAL, ServiceType.NON_PERSISTENT)

    def _temporary(self) -> Iterator[int]:
        while True:
            yield self._random.getrandbits(_BITS)

    def _stable(self, prefix: IPv6Network) -> Iterator[int]:
        """Return the identifiers of RFC 7217 section 5, one for each DAD_Counter.

        Network_ID is left out, since the address has to be the same wherever the host is, and so
        is Net_Iface: all typed addresses are on the loopback interface. There is no duplicate
        address detection where the whole prefix is ours: the counter passes over reserved ones.
        """
        for dad_counter in range(256):
            text = prefix.network_address.packed + bytes((prefix.prefixlen, dad_counter))
            digest = hmac.digest(self._secret, text, "sha256")
            yield int.from_bytes(digest) % (1 << _BITS)


def _reserved(identifier: int) -> bool:
    return any(identifier in each for each in _RESERVED)

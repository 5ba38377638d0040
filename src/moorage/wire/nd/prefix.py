"""Prefix Information (RFC 4861 section 4.6.2; R flag: RFC 6275 section 7.2; P flag: RFC 9762)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv6Network
from typing import ClassVar, Final, Self

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

# prefix length, flags, valid lifetime, preferred lifetime, reserved, prefix
_LAYOUT: Final = Layout("ND Prefix Information", "BB I I 4x 16s")


class _Flag(IntFlag):
    ON_LINK = 0x80
    AUTONOMOUS = 0x40
    ROUTER_ADDRESS = 0x20
    PREFERS_DELEGATION = 0x10


@dataclass(frozen=True, slots=True)
class PrefixInformation:
    """A prefix of the link.

    Attributes:
        prefix: the prefix; bits behind its length are ignored and sent as zero.
        on_link: the L flag, addresses of the prefix are on the link.
        autonomous: the A flag, hosts may form addresses (RFC 4862).
        valid: lifetime in seconds; 0xffffffff is infinity.
        preferred: lifetime in seconds; 0xffffffff is infinity.
        prefers_delegation: the P flag, clients should rather ask for a prefix of their own.
        router_address: the R flag; the address itself, in the bits behind the prefix, is not kept.
    """

    type: ClassVar[int] = 3

    prefix: IPv6Network
    on_link: bool
    autonomous: bool
    valid: int
    preferred: int
    prefers_delegation: bool = False
    router_address: bool = False

    def encode(self) -> bytes:
        """Return the body.

        Raises:
            ValueError: a lifetime is out of its range.
        """
        flags = (
            _Flag.ON_LINK * self.on_link
            | _Flag.AUTONOMOUS * self.autonomous
            | _Flag.ROUTER_ADDRESS * self.router_address
            | _Flag.PREFERS_DELEGATION * self.prefers_delegation
        )
        return _LAYOUT.pack(
            self.prefix.prefixlen,
            flags,
            self.valid,
            self.preferred,
            self.prefix.network_address.packed,
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option whose body is ``data``.

        Raises:
            WireError: wrong length, or a prefix longer than an address.
        """
        length, flags, valid, preferred, prefix = _LAYOUT.unpack(data)
        if length > 128:
            raise WireError(_LAYOUT.where, f"prefix of {length} bits")
        return cls(
            prefix=IPv6Network((prefix, length), strict=False),
            on_link=bool(flags & _Flag.ON_LINK),
            autonomous=bool(flags & _Flag.AUTONOMOUS),
            valid=valid,
            preferred=preferred,
            prefers_delegation=bool(flags & _Flag.PREFERS_DELEGATION),
            router_address=bool(flags & _Flag.ROUTER_ADDRESS),
        )

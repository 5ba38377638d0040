"""Route Information (RFC 4191 section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import ClassVar, Final, Self

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout
from moorage.wire.nd.preference import decode_preference, encode_preference

# prefix length, flags with the preference, lifetime; 0, 8 or 16 bytes of prefix follow
_HEAD: Final = Layout("ND Route Information", "BB I")
_ADDRESS_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class RouteInformation:
    """A more specific route through the sender.

    Attributes:
        prefix: the destination; bits behind its length are ignored and sent as zero.
        preference: 1 high, 0 medium, -1 low.
        lifetime: seconds; 0 withdraws the route, 0xffffffff is infinity.
    """

    type: ClassVar[int] = 24

    prefix: IPv6Network
    preference: int
    lifetime: int

    def encode(self) -> bytes:
        """Return the body.

        Raises:
            ValueError: a field is out of its range.
        """
        length = self.prefix.prefixlen
        flags = encode_preference(self.preference)
        prefix = self.prefix.network_address.packed[: _needed(length)]
        return _HEAD.pack(length, flags, self.lifetime) + prefix

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option whose body is ``data``.

        None: the preference is the reserved value, with which the option MUST be ignored.

        Raises:
            WireError: wrong length, or a prefix longer than its field.
        """
        (length, flags, lifetime), prefix = _HEAD.split(data)
        preference = decode_preference(flags)
        if preference is None:
            return None
        if len(prefix) > _ADDRESS_LENGTH:
            raise WireError(_HEAD.where, f"{len(prefix)} bytes of prefix")
        if length > 128 or len(prefix) < _needed(length):
            raise WireError(_HEAD.where, f"prefix of {length} bits in {len(prefix)} bytes")
        address = prefix.ljust(_ADDRESS_LENGTH, b"\0")
        return cls(IPv6Network((address, length), strict=False), preference, lifetime)


def _needed(length: int) -> int:
    """Return how many bytes of prefix are sent for a prefix of ``length`` bits."""
    if length == 0:
        return 0
    return 8 if length <= 64 else _ADDRESS_LENGTH

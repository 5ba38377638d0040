"""Recursive DNS servers (RFC 8106 section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import ClassVar, Final, Self

from moorage.wire.layout import Layout

# reserved, lifetime; the addresses follow
_HEAD: Final = Layout("ND RDNSS", "2x I")
_ADDRESS_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Rdnss:
    """Resolvers that hosts may ask.

    Attributes:
        lifetime: seconds; 0 means "use them no longer", 0xffffffff is infinity.
        servers: at least one address.
    """

    type: ClassVar[int] = 25

    lifetime: int
    servers: tuple[IPv6Address, ...]

    def encode(self) -> bytes:
        """Return the body.

        Raises:
            ValueError: no server, or a lifetime out of its range.
        """
        if not self.servers:
            raise ValueError(f"{_HEAD.where}: no server")
        return _HEAD.pack(self.lifetime) + b"".join(server.packed for server in self.servers)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option whose body is ``data``.

        None: its length is wrong, and such an option is to be discarded (RFC 8106 section 5.3.1).

        Raises:
            WireError: not even the lifetime is there.
        """
        (lifetime,), addresses = _HEAD.split(data)
        if not addresses or len(addresses) % _ADDRESS_LENGTH:
            return None
        starts = range(0, len(addresses), _ADDRESS_LENGTH)
        servers = (IPv6Address(addresses[start : start + _ADDRESS_LENGTH]) for start in starts)
        return cls(lifetime, tuple(servers))

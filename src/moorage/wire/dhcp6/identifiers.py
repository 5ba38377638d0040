"""Client Identifier and Server Identifier (RFC 8415 sections 21.2 and 21.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from moorage.wire.dhcp6.duid import has_duid_length
from moorage.wire.errors import WireError


@dataclass(frozen=True, slots=True)
class _Identifier:
    """A DUID as it is on the wire: it is compared and stored as bytes, never by its parts."""

    duid: bytes

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        if not has_duid_length(self.duid):
            raise ValueError(f"{len(self.duid)} bytes are no DUID")
        return self.duid

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        if not has_duid_length(data):
            raise WireError("DHCPv6 client or server identifier", f"{len(data)} bytes are no DUID")
        return cls(data)


@dataclass(frozen=True, slots=True)
class ClientId(_Identifier):
    """The client's DUID."""

    option_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class ServerId(_Identifier):
    """The server's DUID; all routers of one domain share it."""

    option_code: ClassVar[int] = 2

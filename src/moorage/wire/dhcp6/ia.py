"""Identity associations and their leases (RFC 8415 sections 21.4, 21.6, 21.21 and 21.22).

Times are seconds, 0xFFFFFFFF is forever. That T1 is not after T2 and preferred not longer than
valid are rules for the receiver of a message, not for its format.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from struct import Struct
from typing import ClassVar, Self

from moorage.wire.dhcp6.fields import need_at_least, pack
from moorage.wire.dhcp6.option import (
    Decoders,
    Option,
    OptionHolder,
    decode_options,
    decoders,
    encode_options,
)
from moorage.wire.dhcp6.status import StatusCode
from moorage.wire.errors import WireError

_IA = Struct("!III")
_IA_ADDR = Struct("!16sII")
_IA_PREFIX = Struct("!IIB16s")
_IN_LEASE = decoders(StatusCode)


@dataclass(frozen=True, slots=True)
class IaAddr(OptionHolder):
    """An address of an `IaNa`."""

    option_code: ClassVar[int] = 5
    address: IPv6Address
    preferred: int
    valid: int
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        fixed = pack(_IA_ADDR, self.address.packed, self.preferred, self.valid)
        return fixed + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        where = "DHCPv6 IA address"
        need_at_least(where, data, _IA_ADDR.size)
        address, preferred, valid = _IA_ADDR.unpack_from(data)
        options = decode_options(where, data[_IA_ADDR.size :], _IN_LEASE)
        return cls(IPv6Address(address), preferred, valid, options)


@dataclass(frozen=True, slots=True)
class IaPrefix(OptionHolder):
    """A prefix of an `IaPd`; ``::/64`` with lifetimes 0 hints at a length (RFC 8168).

    Bits beyond the prefix length are cleared by the decoder.
    """

    option_code: ClassVar[int] = 26
    preferred: int
    valid: int
    prefix: IPv6Network
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        fixed = pack(
            _IA_PREFIX,
            self.preferred,
            self.valid,
            self.prefix.prefixlen,
            self.prefix.network_address.packed,
        )
        return fixed + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        where = "DHCPv6 IA prefix"
        need_at_least(where, data, _IA_PREFIX.size)
        preferred, valid, length, address = _IA_PREFIX.unpack_from(data)
        if length > 128:
            raise WireError(where, f"prefix length {length} is more than 128")
        options = decode_options(where, data[_IA_PREFIX.size :], _IN_LEASE)
        return cls(preferred, valid, _network(address, length), options)


@dataclass(frozen=True, slots=True)
class _IdentityAssociation(OptionHolder):
    """The format that IA_NA and IA_PD share; ``t1`` and ``t2`` are 0 in a client's messages."""

    where: ClassVar[str]
    inside: ClassVar[Decoders]
    iaid: int
    t1: int
    t2: int
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the option's body; see `Option.encode`."""
        return pack(_IA, self.iaid, self.t1, self.t2) + encode_options(self.options)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``; see `KnownOption.decode`."""
        need_at_least(cls.where, data, _IA.size)
        iaid, t1, t2 = _IA.unpack_from(data)
        return cls(iaid, t1, t2, decode_options(cls.where, data[_IA.size :], cls.inside))

    @property
    def status(self) -> StatusCode | None:
        """The status of the whole association; None means success."""
        return self.first(StatusCode)


@dataclass(frozen=True, slots=True)
class IaNa(_IdentityAssociation):
    """Identity association for non-temporary addresses."""

    option_code: ClassVar[int] = 3
    where: ClassVar[str] = "DHCPv6 IA_NA"
    inside: ClassVar[Decoders] = decoders(IaAddr, StatusCode)

    @property
    def addresses(self) -> tuple[IaAddr, ...]:
        """The addresses of this association."""
        return self.every(IaAddr)


@dataclass(frozen=True, slots=True)
class IaPd(_IdentityAssociation):
    """Identity association for prefix delegation."""

    option_code: ClassVar[int] = 25
    where: ClassVar[str] = "DHCPv6 IA_PD"
    inside: ClassVar[Decoders] = decoders(IaPrefix, StatusCode)

    @property
    def prefixes(self) -> tuple[IaPrefix, ...]:
        """The prefixes of this association."""
        return self.every(IaPrefix)


@lru_cache(maxsize=1024)
def _network(address: bytes, length: int) -> IPv6Network:
    # IPv6Network takes longer to build than the rest of a message, and prefixes come again.
    return IPv6Network((address, length), strict=False)
